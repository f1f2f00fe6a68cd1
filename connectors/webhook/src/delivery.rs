//! One sink's records to a service, one after the other.
//!
//! Promises what the port does, of a service that ignores idempotency keys which it has seen. Where a request fails on the way it is made once more
//! at once, since a connection that was kept may have been closed; after that the engine opens again. What was posted by then stays posted: the
//! file goes on to the last epoch of which everything was taken, so a service that fails now and then is not asked for ever for the same records.

use tidemill_connectors_api::{Delivery, DeliverySpec, Error, Parcel, Rejected};
use tidemill_connectors_http::client::excerpt;
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_http::target::Target;
use tidemill_connectors_http::{Answer, Client, Failure, Method, Question};
use tidemill_types::Epoch;

use crate::message::{Of, Place, Verdict, body, idempotency_key, verdict};
use crate::options::WebhookOptions;
use crate::progress::{Progress, ProgressFile};
use crate::{invalid, retry};

/// How many bytes of an answer are read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const JSON: &str = "application/json";

/// Posts records to a service.
#[derive(Debug)]
pub struct WebhookDelivery {
    job: String,
    sink: String,
    service: Target,
    client: Client,
    file: ProgressFile,
    opened: Option<(String, Progress)>,
}

impl WebhookDelivery {
    /// A delivery that posts nothing yet.
    ///
    /// # Errors
    /// `Invalid` for an option that cannot be.
    pub fn new(spec: &DeliverySpec<'_>, policy: Policy) -> Result<Self, Error> {
        let options = WebhookOptions::parse(spec)?;
        let service = options.service;
        let client = Client::new(&service.trust, policy, service.timeout)
            .map_err(|wrong| Error::new(wrong.kind, format!("sink '{}': {wrong}", spec.name)))?;
        Ok(Self {
            job: spec.job.to_owned(),
            sink: spec.name.to_owned(),
            service,
            client,
            file: ProgressFile::new(options.progress),
            opened: None,
        })
    }

    /// Asks whether anybody is there: whatever answers will do.
    fn knock(&self) -> Result<(), Error> {
        let answered = self.client.ask(Question {
            url: &self.service.url,
            accept: "*/*",
            method: Some(Method::OPTIONS),
            authorization: self.service.authorization.clone(),
            within: self.service.timeout,
            bytes_max: ANSWER_BYTES_MAX,
            ..Question::default()
        });
        answered.map(drop).map_err(|failure| self.failed(failure))
    }

    /// Posts one record; the reason if the service does not take it.
    fn post(
        &self,
        history: &str,
        place: Place,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Option<String>, Error> {
        let of = Of {
            job: &self.job,
            sink: &self.sink,
            history,
        };
        let Some(body) = body(of, place, key, value) else {
            return Ok(Some("its value is no JSON".to_owned()));
        };
        let idempotency_key = idempotency_key(of, place);
        let ask = || {
            self.client.ask(Question {
                url: &self.service.url,
                accept: JSON,
                method: Some(Method::POST),
                body: Some((JSON, body.as_slice().into())),
                headers: &[("Idempotency-Key", &idempotency_key)],
                authorization: self.service.authorization.clone(),
                within: self.service.timeout,
                bytes_max: ANSWER_BYTES_MAX,
            })
        };
        match ask() {
            // A connection that was kept may have been closed by the service.
            Err(Failure::OnTheWay(_)) => self.judge(ask()),
            answered => self.judge(answered),
        }
    }

    /// What it means that there is no answer.
    fn failed(&self, failure: Failure) -> Error {
        let url = &self.service.url;
        match failure {
            Failure::OnTheWay(why) => retry(format!(
                "the service at '{url}' is away: {why}; it is posted again, look at it if this stays"
            )),
            Failure::Untrusted(why) => invalid(format!(
                "the service at '{url}' cannot be trusted: {why}; name the authority of its certificate in 'ssl.ca.location'"
            )),
            Failure::Refused(why) | Failure::Garbage(why) => invalid(format!(
                "nothing can be posted to '{url}': {why}; mend 'url'"
            )),
            Failure::TooLarge => invalid(format!(
                "the service at '{url}' answers with more than {ANSWER_BYTES_MAX} bytes; mend 'url'"
            )),
        }
    }

    fn judge(&self, answered: Result<Answer, Failure>) -> Result<Option<String>, Error> {
        let url = &self.service.url;
        let answer = answered.map_err(|failure| self.failed(failure))?;
        let words = excerpt(&format!(
            "status {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        ));
        match verdict(answer.status) {
            Verdict::Taken => Ok(None),
            Verdict::Rejected => Ok(Some(words)),
            Verdict::Busy => Err(retry(format!(
                "the service at '{url}' is busy or in trouble: {words}; it is posted again, look at it if this stays"
            ))),
            Verdict::Locked => Err(invalid(format!(
                "the service at '{url}' does not let this job in: {words}; mend 'user' and 'password' or 'bearer.token', or what they are \
                 allowed there"
            ))),
            Verdict::Wrong => Err(invalid(format!(
                "what answers at '{url}' takes no records: {words}; mend 'url' (no redirect is followed)"
            ))),
        }
    }

    fn taken(&mut self) -> Result<(String, Progress), Error> {
        let opened = self.opened.take();
        opened.ok_or_else(|| retry(format!("sink '{}' is not open; open it first", self.sink)))
    }

    /// Posts the records of parcels in order. Sets how far the service is: also after an error, but not beyond what was rejected, of which
    /// nobody would know then.
    fn post_all(
        &self,
        parcels: &[Parcel],
        history: &str,
        progress: &mut Progress,
    ) -> Result<Vec<Rejected>, Error> {
        let mut rejected: Vec<Rejected> = Vec::new();
        let before = progress.epoch;
        for parcel in parcels {
            if parcel.epoch.0 <= before {
                continue;
            }
            for (record, output) in parcel.records.iter().enumerate() {
                let place = Place {
                    epoch: parcel.epoch,
                    index: record,
                };
                match self.post(history, place, output.key, output.value) {
                    Ok(None) => {}
                    Ok(Some(reason)) => rejected.push(Rejected {
                        epoch: parcel.epoch,
                        record,
                        reason,
                    }),
                    Err(error) => {
                        if let Some(first) = rejected.first() {
                            progress.epoch = progress.epoch.min(before.max(first.epoch.0 - 1));
                        }
                        return Err(error);
                    }
                }
            }
            progress.epoch = parcel.epoch.0;
        }
        Ok(rejected)
    }
}

impl Delivery for WebhookDelivery {
    fn open(&mut self, history: &str) -> Result<Epoch, Error> {
        let progress = self.file.take_over(&self.job, &self.sink, history)?;
        self.knock()?;
        let through = progress.through();
        self.opened = Some((history.to_owned(), progress));
        Ok(through)
    }

    fn bring(&mut self, parcels: &[Parcel]) -> Result<Vec<Rejected>, Error> {
        let (history, mut progress) = self.taken()?;
        if progress.begun {
            self.file.check(&progress)?;
        } else {
            progress.begun = true;
            self.file.write(&progress)?;
        }
        let posted = self.post_all(parcels, &history, &mut progress);
        if posted.is_err() {
            self.file.write(&progress)?;
        }
        let rejected = posted?;
        self.opened = Some((history, progress));
        Ok(rejected)
    }

    fn settle(&mut self) -> Result<(), Error> {
        let (history, progress) = self.taken()?;
        self.file.write(&progress)?;
        self.opened = Some((history, progress));
        Ok(())
    }
}

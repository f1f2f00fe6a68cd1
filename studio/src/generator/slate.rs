//! Real films as productions, from `movies.json` of vega-datasets: a JSON array of objects with `Title`, `Production Budget`,
//! `Release Date`, `Distributor`, `Major Genre` and `Director`.
//!
//! What is wrong in the list stays wrong: a title that is a number stays a number, what is missing is null, and a date that is not spelled
//! like `Jun 12 1998` is passed on as it stands. The job has to cope.

use serde::Deserialize;
use serde_json::Value;

use crate::Error;

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Title", default)]
    title: Value,
    #[serde(rename = "Production Budget", default)]
    production_budget: Value,
    #[serde(rename = "Release Date", default)]
    release_date: Value,
    #[serde(rename = "Distributor", default)]
    distributor: Value,
    #[serde(rename = "Major Genre", default)]
    major_genre: Value,
    #[serde(rename = "Director", default)]
    director: Value,
}

/// A film; every field is the JSON text that goes into the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Film {
    pub title: String,
    pub genre: String,
    pub distributor: String,
    pub director: String,
    pub release_date: String,
    pub planned_budget: String,
}

/// Reads the films of a slate.
pub fn parse(json: &str) -> Result<Vec<Film>, Error> {
    let listed: Vec<Listed> = serde_json::from_str(json)?;
    Ok(listed
        .into_iter()
        .map(|film| Film {
            title: film.title.to_string(),
            genre: film.major_genre.to_string(),
            distributor: film.distributor.to_string(),
            director: film.director.to_string(),
            release_date: film
                .release_date
                .as_str()
                .and_then(iso)
                .map_or_else(|| film.release_date.to_string(), |iso| format!("\"{iso}\"")),
            planned_budget: film.production_budget.to_string(),
        })
        .collect())
}

/// `Jun 12 1998` as `1998-06-12`, if it is spelled just so.
fn iso(date: &str) -> Option<String> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut parts = date.split(' ');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (parts.next().is_none() && day.len() == 2 && year.len() == 4 && digits(day) && digits(year))
        .then(|| format!("{year}-{month:02}-{day}"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn warts_are_left_as_they_are() {
        let films = parse(
            r#"[{"Title": 1776, "Production Budget": 4000000, "Release Date": "Nov 09 1972", "Distributor": null, "Major Genre": "Drama"},
                {"Title": "A \"B\"", "Production Budget": null, "Release Date": "12-Jun-98", "Director": "C"}]"#,
        )
        .expect("is a slate");
        assert_eq!(films[0].title, "1776");
        assert_eq!(films[0].release_date, "\"1972-11-09\"");
        assert_eq!(films[0].distributor, "null");
        assert_eq!(films[0].planned_budget, "4000000");
        assert_eq!(films[1].title, r#""A \"B\"""#);
        assert_eq!(films[1].release_date, "\"12-Jun-98\"");
        assert_eq!(
            (films[1].planned_budget.as_str(), films[1].genre.as_str()),
            ("null", "null")
        );
    }

    #[test]
    fn something_else_than_a_slate_is_refused() {
        assert!(
            parse("{}")
                .expect_err("is refused")
                .to_string()
                .starts_with("slate is not a JSON array of films")
        );
    }
}

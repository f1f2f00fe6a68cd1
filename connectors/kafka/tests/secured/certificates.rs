//! Certificates of a test: an authority, what it signed for the broker and for a client, and another authority that signed nothing.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

/// Of the client's encrypted key and of its keystore.
pub const PASSWORD: &str = "of-the-key";

struct Pair {
    certificate: X509,
    key: PKey<Private>,
}

/// Writes all of them into a folder, as PEM: `ca`, `other-ca`, `broker` (key and certificate), `client` and `client-key` (encrypted), and the
/// client's keystore `client.p12`.
pub fn make(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let authority = pair("authority", None, 1);
    let other = pair("another authority", None, 2);
    let broker = pair("localhost", Some(&authority), 3);
    let client = pair("job", Some(&authority), 4);
    let write = |name: &str, bytes: &[u8]| fs::write(path(folder, name), bytes).unwrap();
    write("ca", &authority.certificate.to_pem().unwrap());
    write("other-ca", &other.certificate.to_pem().unwrap());
    let key = broker.key.private_key_to_pem_pkcs8().unwrap();
    let both = [key, broker.certificate.to_pem().unwrap()].concat();
    write("broker", &both);
    write("client", &client.certificate.to_pem().unwrap());
    let key = client
        .key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), PASSWORD.as_bytes());
    write("client-key", &key.unwrap());
    let mut keystore = Pkcs12::builder();
    keystore
        .name("job")
        .pkey(&client.key)
        .cert(&client.certificate);
    let keystore = keystore.build2(PASSWORD).unwrap();
    fs::write(folder.join("client.p12"), keystore.to_der().unwrap()).unwrap();
}

/// Where one of them lies.
pub fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pem"))
}

fn pair(name: &str, signer: Option<&Pair>, serial: u32) -> Pair {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    let subject = subject.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&subject).unwrap();
    let issuer = signer.map_or(subject.as_ref(), |signer| signer.certificate.subject_name());
    builder.set_issuer_name(issuer).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(2).unwrap())
        .unwrap();
    if signer.is_none() {
        let is_authority = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(is_authority).unwrap();
    } else {
        let context = builder.x509v3_context(None, None);
        let names = SubjectAlternativeName::new()
            .dns("localhost")
            .build(&context);
        builder.append_extension(names.unwrap()).unwrap();
    }
    let signing = signer.map_or(&key, |signer| &signer.key);
    builder.sign(signing, MessageDigest::sha256()).unwrap();
    Pair {
        certificate: builder.build(),
        key,
    }
}

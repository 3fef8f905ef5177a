//! Reading certificates: just what a node needs of them.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::identity::Identity;

pub(crate) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) => Err("there is something behind the certificate".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The one URI of ours among a certificate's alternative names. Its chain must have been verified.
pub(crate) fn identity_of(certificate: &X509Certificate<'_>) -> Result<Identity, String> {
    let mut found = Vec::new();
    for extension in certificate.extensions() {
        let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else { continue };
        for name in &names.general_names {
            match name {
                GeneralName::URI(uri) if uri.starts_with("gc://") => found.push(*uri),
                _ => {}
            }
        }
    }
    match found[..] {
        [one] => one.parse::<Identity>().map_err(|error| error.to_string()),
        [] => Err("it has no URI of the form gc://CLUSTER/NAME/NUMBER".into()),
        _ => Err("it has more than one gc:// URI".into()),
    }
}

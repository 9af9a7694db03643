//! The subject of a certificate as text, in the form of RFC 2253 that OpenSSL and nginx (`$ssl_client_s_dn`) write.

use std::fmt::Write as _;

use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The short names that OpenSSL writes for the types of attributes; others are written as numbers.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.42", "GN"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The name, its last part first: `CN=alice,O=Example`.
pub(super) fn rfc2253(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let mut parts: Vec<_> = name.iter_rdn().collect();
    parts.reverse();
    for (at, part) in parts.into_iter().enumerate() {
        for (within, attribute) in part.iter().enumerate() {
            match (at, within) {
                (0, 0) => {}
                (_, 0) => text.push(','),
                _ => text.push('+'),
            }
            push_attribute(&mut text, attribute);
        }
    }
    text
}

/// The common name, if there is one in text.
pub(super) fn common_name(name: &X509Name<'_>) -> Option<String> {
    name.iter_common_name().next().and_then(value_of)
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let kind = attribute.attr_type().to_id_string();
    let name = SHORT_NAMES.iter().find(|(id, _)| *id == kind).map_or(&*kind, |(_, name)| name);
    text.push_str(name);
    text.push('=');
    match value_of(attribute).filter(|_| name != kind) {
        Some(value) => push_escaped(text, &value),
        None => push_encoded(text, attribute),
    }
}

/// The value as text; `None` where it is of another kind.
fn value_of(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    match value.tag() {
        Tag::BmpString => {
            let units: Vec<u16> =
                value.data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        Tag::T61String => Some(value.data.iter().map(|&byte| char::from(byte)).collect()),
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        _ => None,
    }
}

/// A value as RFC 2253 §2.4 writes it; bytes outside of ASCII in hexadecimal, as OpenSSL does.
fn push_escaped(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let at_an_end = (at == 0 && matches!(byte, b' ' | b'#')) || (at == last && byte == b' ');
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                text.push('\\');
                text.push(byte.into());
            }
            _ if at_an_end => {
                text.push('\\');
                text.push(byte.into());
            }
            b' '..=b'~' => text.push(byte.into()),
            _ => {
                // writing to a string does not fail
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}

/// A value that is no text, as its encoding in hexadecimal.
fn push_encoded(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    text.push('#');
    let value = attribute.attr_value();
    let length = value.data.len();
    let mut bytes = vec![u8::try_from(value.tag().0).unwrap_or(u8::MAX)];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        Ok(one) => bytes.extend([0x81, one]),
        Err(_) => {
            let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            bytes.extend([0x82, high, low]);
        }
    }
    bytes.extend_from_slice(value.data);
    for byte in bytes {
        // writing to a string does not fail
        let _ = write!(text, "{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};
    use x509_parser::certificate::X509Certificate;
    use x509_parser::prelude::FromDer;

    use super::*;

    fn subject(parts: &[(DnType, DnValue)]) -> (String, Option<String>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        (rfc2253(parsed.subject()), common_name(parsed.subject()))
    }

    fn utf8(text: &str) -> DnValue {
        DnValue::Utf8String(text.to_owned())
    }

    #[test]
    fn the_last_part_stands_first_with_the_names_of_openssl() {
        let parts = [
            (DnType::CountryName, DnValue::PrintableString("DE".try_into().unwrap())),
            (DnType::OrganizationName, utf8("Example GmbH")),
            (DnType::OrganizationalUnitName, utf8("Platform")),
            (DnType::CommonName, utf8("alice")),
        ];
        let expected = "CN=alice,OU=Platform,O=Example GmbH,C=DE".to_owned();
        assert_eq!(subject(&parts), (expected, Some("alice".to_owned())));
        assert_eq!(subject(&[]), (String::new(), None));
    }

    #[test]
    fn what_means_something_in_the_form_is_escaped() {
        for (value, written) in [
            ("a,b+c", r"CN=a\,b\+c"),
            ("#1", r"CN=\#1"),
            (" a b ", r"CN=\ a b\ "),
            (" ", r"CN=\ "),
            (r#"<"a">;\"#, r#"CN=\<\"a\"\>\;\\"#),
            ("Zoë", r"CN=Zo\C3\AB"),
            ("a\nb", r"CN=a\0Ab"),
        ] {
            assert_eq!(subject(&[(DnType::CommonName, utf8(value))]).0, written);
        }
    }

    #[test]
    fn a_type_without_a_name_is_a_number_with_the_encoded_value() {
        let custom = DnType::CustomDnType(vec![1, 2, 3, 4]);
        assert_eq!(subject(&[(custom, utf8("ab"))]).0, "1.2.3.4=#0C026162");
    }
}

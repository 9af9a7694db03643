//! Bodies that are no UTF-8.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_body_that_is_no_utf_8_is_told_by_its_first_wrong_byte(
        before in "[a-zé\u{20AC}\u{10348}]{0,200}",
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..=0xFF_u8], 0..6),
        behind in "[a-zé]{0,100}",
    ) {
        let body = [b"{\"a\":\"", before.as_bytes(), &bytes, behind.as_bytes(), b"\"}"].concat();
        let (parsed, _) = parse(Endpoint::MESSAGES, &HeaderMap::new(), &body, Hashing::Nothing);
        let why = match &parsed {
            ParsedBody::Unreadable(why) => why.as_str(),
            ParsedBody::Calls(_) | ParsedBody::NotACall => "",
        };
        match std::str::from_utf8(&body) {
            Ok(text) => prop_assert_eq!(why.is_empty(), serde_json::from_str::<IgnoredAny>(text).is_ok()),
            Err(error) => prop_assert_eq!(why, format!("it is not UTF-8 at byte {}", error.valid_up_to())),
        }
    }
}

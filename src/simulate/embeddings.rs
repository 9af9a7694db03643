//! OpenAI's Embeddings: vectors of length one that mean nothing, as numbers or in Base64. The same input has the same vector and the same
//! tokens in every call.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::Call;
use super::draws::{Draws, Purpose};
use super::prompt::Prompt;
use super::sse::json;

/// As long as those of the provider's small model.
const DIMENSIONS: u64 = 1536;
/// As long as those of its large one.
const MOST_DIMENSIONS: u64 = 3072;
/// The provider's bounds on the texts of one request, and on their tokens.
const MOST_INPUTS: usize = 2048;
const MOST_TOKENS: u64 = 300_000;

/// The answer to `POST /v1/embeddings`. The error names the limit that the request exceeds.
pub(super) fn whole(call: &Call<'_>) -> Result<Vec<u8>, String> {
    let dimensions = call.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return Err(format!("dimensions: {dimensions} is not from 1 to {MOST_DIMENSIONS}"));
    }
    let inputs = call.inputs();
    if inputs.len() > MOST_INPUTS {
        return Err(format!("input: {} texts, and {MOST_INPUTS} are the most", inputs.len()));
    }
    let inputs: Vec<Value> = inputs.iter().map(|input| serde_json::from_str(input).unwrap_or_default()).collect();
    if inputs.iter().any(|input| *input == "") {
        return Err("input: a text is empty".to_owned());
    }
    let tokens = inputs.iter().map(tokens).sum();
    if tokens > MOST_TOKENS {
        return Err(format!("input: {tokens} tokens, and {MOST_TOKENS} are the most"));
    }
    let data = (0..)
        .zip(&inputs)
        .map(|(index, input)| {
            let vector = vector(draws(input), dimensions);
            let embedding = if call.base64 { Vector::Base64(encode(&vector)) } else { Vector::Floats(vector) };
            Embedding { object: "embedding", index, embedding }
        })
        .collect();
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    let mut out = Vec::new();
    json(&mut out, &List { object: "list", data, model: call.model(), usage });
    Ok(out)
}

/// The tokens that an input counts as.
fn tokens(input: &Value) -> u64 {
    Prompt::deserialize(input).unwrap_or_default().tokens()
}

/// What decides the vector of an input: what it says, however it is written.
fn draws(input: &Value) -> Draws {
    let digest = blake3::hash(input.to_string().as_bytes());
    let number = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    Draws::new(0, number)
}

/// A vector of length one.
fn vector(draws: Draws, dimensions: u64) -> Vec<f32> {
    // The upper half of a draw, as a number from -1 to 1.
    let number = |index| (draws.get(Purpose::Numbers, index) >> 32) as f32 / (u32::MAX / 2) as f32 - 1.0;
    let mut vector: Vec<f32> = (0..dimensions).map(number).collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}

/// As the provider packs vectors: 32-bit floats, the lowest byte first, in Base64.
fn encode(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: u64,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &str) -> Result<Value, String> {
        whole(&Call::parse(request.as_bytes()).unwrap()).map(|body| serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn each_input_has_a_vector_of_length_one() {
        let body = answer(r#"{"model":"m","input":["1234","5678"]}"#).unwrap();
        let data = body["data"].as_array().unwrap();
        assert_eq!(data.len(), 2);
        for embedding in data {
            let vector = embedding["embedding"].as_array().unwrap();
            assert_eq!(vector.len(), 1536);
            let length: f64 = vector.iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
            assert!((length - 1.0).abs() < 1e-3, "{length}");
        }
        assert_eq!(body["usage"]["prompt_tokens"], 2);
    }

    #[test]
    fn base64_holds_the_same_numbers() {
        let floats = answer(r#"{"input":"a","dimensions":5}"#).unwrap();
        let packed = answer(r#"{"input":"a","dimensions":5,"encoding_format":"base64"}"#).unwrap();
        let bytes = STANDARD.decode(packed["data"][0]["embedding"].as_str().unwrap()).unwrap();
        let unpacked: Vec<f32> = bytes.chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
        let expected: Vec<f32> = serde_json::from_value(floats["data"][0]["embedding"].clone()).unwrap();
        assert_eq!(unpacked, expected);
    }

    #[test]
    fn an_input_has_the_same_vector_and_tokens_beside_others_and_alone() {
        let embeddings = |input: &str| -> Vec<Value> {
            let body = answer(&format!(r#"{{"input":{input},"dimensions":3}}"#)).unwrap();
            body["data"].as_array().unwrap().iter().map(|embedding| embedding["embedding"].clone()).collect()
        };
        let all = embeddings(r#"["one","two" , "three"]"#);
        assert_eq!(all, ["one", "two", "\\u0074hree"].map(|text| embeddings(&format!("\"{text}\"")).remove(0)));
        assert_eq!(embeddings("[[1,2],[3]]"), ["[1, 2]", "[3]"].map(|tokens| embeddings(tokens).remove(0)));
        let tokens = |input: &str| answer(&format!(r#"{{"input":{input}}}"#)).unwrap()["usage"]["total_tokens"].clone();
        assert_eq!([tokens(r#"["12345","1"]"#), tokens(r#""12345""#), tokens("[[1,2],[3]]")], [3, 2, 3]);
    }

    #[test]
    fn more_than_the_provider_gives_is_refused() {
        assert!(answer(r#"{"input":"a","dimensions":0}"#).is_err());
        assert!(answer(r#"{"input":"a","dimensions":1000000000}"#).is_err());
        assert!(answer(r#"{"input":["a",""]}"#).is_err());
        assert!(answer(&format!(r#"{{"input":"{}"}}"#, "a".repeat(1_200_001))).is_err());
    }
}

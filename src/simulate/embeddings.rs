//! OpenAI's Embeddings: vectors of length one that mean nothing, as numbers or in Base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::call::Call;
use super::draws::{Draws, Purpose};
use super::plan::Plan;
use super::sse::json;

/// As long as those of the provider's small model.
const DIMENSIONS: u64 = 1536;
/// As long as those of its large one.
const MOST_DIMENSIONS: u64 = 3072;
/// The provider's bound on the texts of one request.
const MOST_INPUTS: usize = 2048;

/// The answer to `POST /v1/embeddings`. The error names the limit that the request exceeds.
pub(super) fn whole(call: &Call<'_>, plan: &Plan) -> Result<Vec<u8>, String> {
    let dimensions = call.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return Err(format!("dimensions: {dimensions} is not from 1 to {MOST_DIMENSIONS}"));
    }
    let inputs = call.inputs();
    if inputs > MOST_INPUTS {
        return Err(format!("input: {inputs} texts, and {MOST_INPUTS} are the most"));
    }
    let data = (0..inputs as u64)
        .map(|index| {
            let vector = vector(plan.draws, index, dimensions);
            let embedding = if call.base64 { Vector::Base64(encode(&vector)) } else { Vector::Floats(vector) };
            Embedding { object: "embedding", index, embedding }
        })
        .collect();
    let usage = Usage { prompt_tokens: call.input_tokens(), total_tokens: call.input_tokens() };
    let mut out = Vec::new();
    json(&mut out, &List { object: "list", data, model: call.model(), usage });
    Ok(out)
}

/// A vector of length one.
fn vector(draws: Draws, input: u64, dimensions: u64) -> Vec<f32> {
    let start = input * MOST_DIMENSIONS;
    // The upper half of a draw, as a number from -1 to 1.
    let number = |index| (draws.get(Purpose::Numbers, start + index) >> 32) as f32 / (u32::MAX / 2) as f32 - 1.0;
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
    use serde_json::Value;

    use super::super::settings::Settings;
    use super::*;

    fn answer(request: &str) -> Result<Value, String> {
        let plan = Plan::draw(&Settings::default(), 0);
        whole(&Call::parse(request.as_bytes()).unwrap(), &plan).map(|body| serde_json::from_slice(&body).unwrap())
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
    fn more_than_the_provider_gives_is_refused() {
        assert!(answer(r#"{"input":"a","dimensions":0}"#).is_err());
        assert!(answer(r#"{"input":"a","dimensions":1000000000}"#).is_err());
    }
}

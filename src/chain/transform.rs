//! A response body that plugins change: decoded, cut into parts, handed to those who change it, and shown to the others as it is
//! at their place in the chain. Knows no connection.

mod parts;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Bytes, BytesMut};
use decode::Decoder;
use http::header::CONTENT_LENGTH;
use plugin_api::{Change, Chunk, Context, Endpoint, Part, PartKind, Response};
use protocols::{OpenStream, refused_body};

use super::erased::Instance;
use super::{Instances, report_panic, run};
use parts::Parts;

/// The body of one response on its way through the plugins that change it.
pub struct Transform {
    decoder: Option<Decoder>,
    /// Bottom to top.
    stages: Vec<Stage>,
}

/// The part of one plugin in it.
struct Stage {
    /// The plugin's place in the chain.
    at: usize,
    parts: Parts,
    endpoint: Option<Endpoint>,
    /// What the client has of a stream, should the plugin cut it.
    open: OpenStream,
    cut: Option<Cut>,
}

/// A plugin ended a response, for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its name.
    pub plugin: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// What is known of a response whose body may be changed.
#[derive(Clone, Copy, Debug)]
pub struct TransformBody {
    /// The endpoint, where it answers a call to a model.
    pub endpoint: Option<Endpoint>,
    /// The largest body, event or line that is held, in bytes.
    pub limit: usize,
}

/// Bytes of a body as they leave the chain.
#[derive(Debug)]
pub struct Passed {
    /// The bytes.
    pub bytes: Bytes,
    /// Whether the answer says that it is complete with them.
    pub complete: bool,
}

/// Why a body cannot be changed. What cannot be changed must not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransformError {
    /// A plugin panicked; its name.
    Panic(&'static str),
    /// It, or an event or line of it, is larger than is held.
    TooLarge,
    /// Others hold all that may be held.
    NoMemory,
    /// Its encoding is unknown or broken.
    Encoding,
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panic(_) => "a plugin panicked",
            Self::TooLarge => "a response that a plugin changes is larger than max_body",
            Self::NoMemory => "no memory is left for a response that a plugin changes; see max_body_memory",
            Self::Encoding => "the encoding of a response that a plugin changes is unknown or broken",
        })
    }
}

impl Transform {
    /// The transform of the body of a response; `None` where no plugin that has seen the request wants to change it.
    ///
    /// # Errors
    /// That a plugin panicked, or that the encoding is unknown.
    pub fn begin(
        instances: &mut Instances,
        response: &mut Response<'_>,
        body: TransformBody,
    ) -> Result<Option<Self>, TransformError> {
        let kind = PartKind::of(response.headers);
        let mut stages = Vec::new();
        for (at, instance) in instances.started().enumerate().rev() {
            if !instance.needs().transform {
                continue;
            }
            let mut wanted = false;
            run(&mut **instance, |instance| wanted = instance.transforms(response)).map_err(TransformError::Panic)?;
            if wanted {
                let (parts, open) = (Parts::new(kind, body.limit), OpenStream::new(body.endpoint));
                stages.push(Stage { at, parts, endpoint: body.endpoint, open, cut: None });
            }
        }
        if stages.is_empty() {
            return Ok(None);
        }
        let decoder = Decoder::new(response.headers).map_err(|_| TransformError::Encoding)?;
        let length = response.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if kind == PartKind::Whole && decoder.is_none() && length.is_some_and(|length: usize| length > body.limit) {
            return Err(TransformError::TooLarge);
        }
        Ok(Some(Self { decoder, stages }))
    }

    /// Passes bytes of the body through the chain, bottom to top. `complete` tells that the answer says that it is, with them.
    ///
    /// # Errors
    /// Why the body must not go on.
    pub fn feed(
        &mut self,
        instances: &mut Instances,
        context: &Context,
        bytes: &Bytes,
        last: bool,
        mut complete: bool,
    ) -> Result<Passed, TransformError> {
        let mut bytes = match &mut self.decoder {
            Some(decoder) => decoded(decoder, bytes)?,
            None => bytes.clone(),
        };
        let mut stages = self.stages.iter_mut().peekable();
        for (at, instance) in instances.started().enumerate().rev() {
            if let Some(stage) = stages.next_if(|stage| stage.at == at) {
                bytes = stage.feed(&mut **instance, context, bytes, last)?;
                complete = stage.cut.is_some() || complete && !stage.parts.holds_back();
            } else if !bytes.is_empty() || last || complete {
                let mut chunk = Chunk { context, bytes: &bytes, last, complete };
                run(&mut **instance, |instance| instance.on_chunk(&mut chunk)).map_err(TransformError::Panic)?;
            }
        }
        Ok(Passed { bytes, complete })
    }

    /// Who ended the response and why, if a plugin did. Nothing of what is fed from then on reaches the client.
    #[must_use]
    pub fn cut(&self) -> Option<Cut> {
        self.stages.iter().find_map(|stage| stage.cut)
    }
}

fn decoded(decoder: &mut Decoder, bytes: &[u8]) -> Result<Bytes, TransformError> {
    let mut decoded = BytesMut::with_capacity(bytes.len());
    let fed = decoder.feed(bytes, &mut |piece| decoded.extend_from_slice(piece));
    fed.map_err(|_| TransformError::Encoding)?;
    Ok(decoded.freeze())
}

impl Stage {
    /// What the plugin makes of these bytes.
    fn feed(
        &mut self,
        instance: &mut dyn Instance,
        context: &Context,
        bytes: Bytes,
        last: bool,
    ) -> Result<Bytes, TransformError> {
        if self.cut.is_some() {
            return Ok(Bytes::new());
        }
        self.parts.push(bytes);
        let mut out = BytesMut::new();
        while let Some((kind, bytes)) = self.parts.next(last)? {
            let mut part = Part::new(context, kind, &bytes);
            let ran = catch_unwind(AssertUnwindSafe(|| instance.on_part(&mut part)));
            ran.map_err(|_| TransformError::Panic(report_panic(instance.name())))?;
            let data = part.data();
            let Change { bytes: changed, cut } = part.into_change();
            if matches!(kind, PartKind::Event | PartKind::Line) && !changed.is_empty() {
                self.open.observe(&data);
            }
            out.extend_from_slice(&changed);
            if let Some(reason) = cut {
                self.cut = Some(Cut { plugin: instance.name(), reason });
                match kind {
                    PartKind::Whole if changed.is_empty() => {
                        out.extend_from_slice(&refused_body(self.endpoint, &bytes));
                    }
                    PartKind::Whole => {}
                    PartKind::Event | PartKind::Line | PartKind::End => out.extend_from_slice(&self.open.end()),
                }
                self.parts.clear();
                break;
            }
        }
        Ok(out.freeze())
    }
}

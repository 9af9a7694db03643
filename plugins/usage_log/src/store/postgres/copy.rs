//! Rows in the binary format of COPY, as the server reads it fastest. Knows no connection.

use std::net::IpAddr;

use crate::Cost;
use crate::columns::{Table, Value};

/// The server's epoch, 2000-01-01, in microseconds of ours.
const EPOCH: i64 = 946_684_800_000_000;
/// The signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// What a row of a request takes, about.
const ROW: usize = 640;

/// The statement that takes rows of a table, into `target`.
pub(super) fn statement<R>(table: &Table<R>, target: &str) -> String {
    format!("COPY {target} ({}) FROM STDIN (FORMAT binary)", names(table))
}

/// The names of a table's columns, as SQL has them.
pub(super) fn names<R>(table: &Table<R>) -> String {
    table.names(name)
}

/// The name of a column, as SQL has it.
pub(super) fn name(column: &str) -> String {
    format!("\"{column}\"")
}

/// The rows, as that statement takes them.
pub(super) fn rows<'a, R: 'a>(table: &Table<R>, rows: impl ExactSizeIterator<Item = &'a R>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len() * ROW + 64);
    bytes.extend_from_slice(HEADER);
    let columns = i16::try_from(table.columns.len()).unwrap_or(i16::MAX);
    for row in rows {
        bytes.extend_from_slice(&columns.to_be_bytes());
        for column in table.columns {
            let value = if column.is_null(row) { Value::Null } else { (column.value)(row) };
            field(&mut bytes, &value);
        }
    }
    bytes.extend_from_slice(&TRAILER);
    bytes
}

fn field(bytes: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
        Value::Text(text) | Value::Json(text) => sized(bytes, text.as_bytes()),
        Value::Bytes(value) => sized(bytes, value),
        Value::Int4(number) => sized(bytes, &number.to_be_bytes()),
        Value::Int8(number) => sized(bytes, &number.to_be_bytes()),
        Value::Bool(value) => sized(bytes, &[u8::from(*value)]),
        Value::Uuid(id) => sized(bytes, id.as_bytes()),
        Value::Time(time) => sized(bytes, &time.micros().saturating_sub(EPOCH).to_be_bytes()),
        Value::Money(cost) => money(bytes, *cost),
        Value::Address(address) => self::address(bytes, *address),
    }
}

fn sized(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend_from_slice(&i32::try_from(value.len()).unwrap_or(i32::MAX).to_be_bytes());
    bytes.extend_from_slice(value);
}

/// `numeric`: digits to the base of 10,000, of which a picodollar is the third behind the point.
fn money(bytes: &mut Vec<u8>, cost: Cost) {
    const BASE: i64 = 10_000;
    const BEHIND: usize = 3;
    let mut rest = cost.picos();
    let mut digits = [0_i16; 5];
    for digit in digits.iter_mut().rev() {
        *digit = i16::try_from(rest % BASE).unwrap_or(0);
        rest /= BASE;
    }
    let first = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len());
    let last = digits.iter().rposition(|digit| *digit != 0).map_or(first, |last| last + 1);
    let shown = (0..12).take_while(|zeros| cost.picos() == 0 || cost.picos() % 10_i64.pow(zeros + 1) == 0).count();
    let small = |number: usize| i16::try_from(number).unwrap_or(0);
    let weight = small(digits.len() - BEHIND - 1) - small(first);
    let head = [small(last - first), weight, 0, small(12 - shown)];
    let written = head.iter().chain(&digits[first..last]);
    let length = (head.len() + last - first) * 2;
    bytes.extend_from_slice(&i32::try_from(length).unwrap_or(0).to_be_bytes());
    written.for_each(|number| bytes.extend_from_slice(&number.to_be_bytes()));
}

/// `inet`: family, bits of the mask, whether a network, length, address.
fn address(bytes: &mut Vec<u8>, address: IpAddr) {
    const V4: u8 = 2;
    match address {
        IpAddr::V4(v4) => sized(bytes, &[&[V4, 32, 0, 4][..], &v4.octets()].concat()),
        IpAddr::V6(v6) => sized(bytes, &[&[V4 + 1, 128, 0, 16][..], &v6.octets()].concat()),
    }
}

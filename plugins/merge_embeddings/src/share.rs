//! Shares numbers of a usage out among calls, so that the shares sum exactly to what the upstream said. The largest remainders get what
//! is left over.

use std::collections::HashMap;

/// Digits behind the point that shares of a fraction have more than it.
const MORE_DIGITS: usize = 6;
/// The most digits of a number that is shared out, and the largest exponent in both directions.
const MOST_DIGITS: usize = 24;
const MOST_EXPONENT: i32 = 20;

/// The shares of numbers as they are written in JSON, by weight; none where one cannot be shared: it is negative, or too long. A number
/// with an exponent is a fraction, as is one with a point.
///
/// Of two whole numbers, nobody's share of the smaller is more than its share of the larger, so that a part of a sum, such as the tokens of
/// a prompt that were cached, stays a part of it.
pub(crate) fn shares(numbers: &[&str], weights: &[u64]) -> Option<Vec<Vec<String>>> {
    let whole = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit()) && number.len() <= MOST_DIGITS;
    let mut ascending: Vec<u128> =
        numbers.iter().filter(|number| whole(number)).flat_map(|number| number.parse()).collect();
    ascending.sort_unstable();
    ascending.dedup();
    let (mut below, mut sums, mut shared) = (0, vec![0; weights.len()], HashMap::new());
    for number in ascending {
        // what it has more than the one before is shared out by itself
        for (sum, share) in sums.iter_mut().zip(divided(number - below, weights)?) {
            *sum += share;
        }
        below = number;
        shared.insert(number, sums.clone());
    }
    let shares = |number: &&str| match number.parse().ok().and_then(|number: u128| shared.get(&number)) {
        Some(shares) if whole(number) => Some(shares.iter().map(ToString::to_string).collect()),
        _ => fractions(number, weights),
    };
    numbers.iter().map(shares).collect()
}

/// The shares of a number with a point or an exponent.
fn fractions(number: &str, weights: &[u64]) -> Option<Vec<String>> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).map_or((number, None), |(at, by)| (at, Some(by)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let is_whole = mantissa.len() == whole.len() && exponent.is_none();
    if is_whole || all.len() > MOST_DIGITS || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let exponent = exponent.map_or(Some(0), |by| by.parse::<i32>().ok())?;
    if exponent.abs() > MOST_EXPONENT {
        return None;
    }
    // how many digits stand behind the point once the exponent is gone; below zero, zeros stand before it
    let behind = i32::try_from(fraction.len()).ok()? - exponent;
    let zeros = MORE_DIGITS + usize::try_from(-behind).unwrap_or(0);
    let places = MORE_DIGITS + usize::try_from(behind).unwrap_or(0);
    let all = format!("{all}{}", "0".repeat(zeros)).parse().ok()?;
    Some(divided(all, weights)?.into_iter().map(|share| decimal(share, places)).collect())
}

/// The shares of a whole number.
pub(crate) fn divided(all: u128, weights: &[u64]) -> Option<Vec<u128>> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let mut shares = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    for (place, weight) in weights.iter().enumerate() {
        // a number and a weight of 24 and 6 digits
        let product = all.checked_mul(u128::from(*weight))?;
        shares.push(product.checked_div(sum)?);
        remainders.push((product % sum, place));
    }
    let left = all - shares.iter().sum::<u128>();
    // of equal remainders the first comes first
    remainders.sort_by_key(|(remainder, place)| (std::cmp::Reverse(*remainder), *place));
    for (_, place) in remainders.iter().take(usize::try_from(left).ok()?) {
        shares[*place] += 1;
    }
    Some(shares)
}

/// A number of so many places behind the point, without zeros at its end.
fn decimal(number: u128, places: usize) -> String {
    let digits = format!("{number:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    format!("{whole}.{}", if fraction.is_empty() { "0" } else { fraction })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_left_over_goes_to_the_largest_remainders() {
        let of = |number: &str, weights: &[u64]| shares(&[number], weights).unwrap().remove(0);
        assert_eq!(of("10", &[1, 1, 1]), ["4", "3", "3"]);
        assert_eq!(of("7", &[1, 5, 1]), ["1", "5", "1"]);
        assert_eq!(of("2", &[3, 3, 4]), ["1", "0", "1"]);
        assert_eq!(of("0", &[3, 4]), ["0", "0"]);
        assert_eq!(of("0.5", &[1, 1]), ["0.25", "0.25"]);
        assert_eq!(of("1.0", &[1, 2]), ["0.3333333", "0.6666667"]);
        assert_eq!(of("2.0", &[1, 1]), ["1.0", "1.0"]);
        assert_eq!(of("2e-8", &[1, 1]), ["0.00000001", "0.00000001"]);
        assert_eq!(of("1.5E-07", &[1, 2]), ["0.00000005", "0.0000001"]);
        assert_eq!(of("1e-8", &[1, 2]), ["0.00000000333333", "0.00000000666667"]);
        assert_eq!(of("1.25e1", &[1, 4]), ["2.5", "10.0"]);
        assert_eq!(of("1.5e+3", &[1, 2]), ["500.0", "1000.0"]);
    }

    #[test]
    fn what_cannot_be_shared_exactly_is_not_shared() {
        for number in ["-1", "-1e-3", "1e-21", "1e21", "1e99999999999", "1e", "1234567890123456789012345"] {
            assert_eq!(shares(&[number], &[1, 2]), None, "{number}");
        }
        assert_eq!(shares(&["1"], &[0, 0]), None);
    }

    proptest! {
        #[test]
        fn shares_sum_exactly_to_the_whole_and_none_is_off_by_one(
            number in 0..u64::MAX / 2,
            weights in prop::collection::vec(1..300_000_u64, 1..70),
        ) {
            let shares = divided(number.into(), &weights).unwrap();
            prop_assert_eq!(shares.iter().sum::<u128>(), u128::from(number));
            let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            for (share, weight) in shares.iter().zip(&weights) {
                let exact = u128::from(number) * u128::from(*weight);
                prop_assert!(share * sum < exact + sum && exact < share * sum + sum);
            }
        }

        #[test]
        fn nobodys_share_of_a_part_is_more_than_its_share_of_the_whole(
            whole in 0..100_u64,
            part in 0..100_u64,
            weights in prop::collection::vec(1..50_u64, 1..20),
        ) {
            let (whole, part) = (whole.max(part), whole.min(part));
            let numbers = [whole, part, whole].map(|number| number.to_string());
            let shared = shares(&numbers.each_ref().map(String::as_str), &weights).unwrap();
            let numbers = |place: usize| shared[place].iter().map(|share| share.parse().unwrap()).collect::<Vec<u64>>();
            prop_assert_eq!((numbers(0).iter().sum::<u64>(), numbers(1).iter().sum::<u64>()), (whole, part));
            prop_assert!(numbers(1).iter().zip(numbers(0)).all(|(part, whole)| *part <= whole));
            prop_assert_eq!(&shared[0], &shared[2]);
        }
    }
}

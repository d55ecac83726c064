//! Quantiles of the normal and of Student's distribution at 97.5 %, for two-sided 95 % intervals.

/// The normal distribution's 97.5 % quantile.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// Student's 97.5 % quantile with `freedom` degrees of freedom, to four digits.
///
/// Exact for 1 and 2, from there on the expansion in Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.7.5.
pub(super) fn student(freedom: f64) -> f64 {
    if freedom < 2.0 {
        return 12.706_204_736;
    }
    if freedom < 3.0 {
        return 4.302_652_730;
    }
    let powers = [Z.powi(3), Z.powi(5), Z.powi(7), Z.powi(9)];
    let [z3, z5, z7, z9] = powers;
    let terms = [
        (z3 + Z) / 4.0,
        (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / 96.0,
        (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * Z) / 384.0,
        (79.0 * z9 + 776.0 * z7 + 1482.0 * z5 - 1920.0 * z3 - 945.0 * Z) / 92_160.0,
    ];
    let powers_of_freedom = (1..).map(|power| freedom.powi(power));
    Z + terms.iter().zip(powers_of_freedom).map(|(term, power)| term / power).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        let check = |freedom: f64, expect: f64, within: f64| {
            assert!((student(freedom) - expect).abs() < within, "{freedom}: {}", student(freedom));
        };
        check(1.0, 12.706, 0.001);
        check(2.0, 4.303, 0.001);
        check(3.0, 3.182, 0.03);
        check(5.0, 2.571, 0.002);
        check(10.0, 2.228, 0.001);
        check(30.0, 2.042, 0.001);
        check(1e9, Z, 0.001);
    }
}

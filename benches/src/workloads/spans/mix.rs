//! Shapes to choose from.

use fastrand::Rng;
use kva::Shape;

/// A set of shapes, all of them as likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    /// Four quanta at a multiple of four.
    FourAtFour,
    /// 1, 2, 4, 8 or 16 quanta, each at a multiple of its length.
    PowersOfTwo,
    /// 1 to 16 quanta, anywhere.
    OneToSixteen,
}

impl Mix {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::FourAtFour, Self::PowersOfTwo, Self::OneToSixteen];

    /// Its name, in the names of cases.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::FourAtFour => "4 at 4",
            Self::PowersOfTwo => "powers of two",
            Self::OneToSixteen => "1 to 16",
        }
    }

    /// One of its shapes.
    pub(super) fn shape(self, random: &mut Rng) -> Shape {
        let (len, align) = match self {
            Self::FourAtFour => (4, 4),
            Self::PowersOfTwo => {
                let len = 1 << random.u32(0..5);
                (len, len)
            }
            Self::OneToSixteen => (random.u32(1..=16), 1),
        };
        Shape::aligned(len, align).expect("a good shape")
    }

    /// The mean length of its shapes, in quanta.
    pub(super) const fn mean(self) -> f64 {
        match self {
            Self::FourAtFour => 4.0,
            Self::PowersOfTwo => 6.2,
            Self::OneToSixteen => 8.5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_of_their_mix() {
        let mut random = Rng::with_seed(1);
        for mix in Mix::ALL {
            let shapes: Vec<_> = (0..10_000).map(|_| mix.shape(&mut random)).collect();
            let mean = shapes.iter().map(|shape| f64::from(shape.len())).sum::<f64>() / 1e4;
            assert!((mean / mix.mean() - 1.0).abs() < 0.05, "{}: {mean}", mix.name());
            for shape in shapes {
                assert!((1..=16).contains(&shape.len()), "{shape:?}");
                let naturally = shape.len().is_power_of_two() && shape.align() == shape.len();
                assert!(naturally || (mix == Mix::OneToSixteen && shape.align() == 1), "{shape:?}");
            }
        }
    }
}

//! The operators: their names and how many arguments each takes.

/// How many arguments an operator takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arity {
    pub least: usize,
    pub most: usize,
}

const fn exactly(n: usize) -> Arity {
    Arity { least: n, most: n }
}

const fn between(least: usize, most: usize) -> Arity {
    Arity { least, most }
}

const fn at_least(least: usize) -> Arity {
    Arity { least, most: usize::MAX }
}

impl Arity {
    pub fn takes(self, count: usize) -> bool {
        (self.least..=self.most).contains(&count)
    }
}

impl std::fmt::Display for Arity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.least, self.most) {
            (least, usize::MAX) => write!(f, "at least {least}"),
            (least, most) if least == most => write!(f, "{least}"),
            (least, most) => write!(f, "{least} to {most}"),
        }
    }
}

macro_rules! operators {
    ($($variant:ident $name:literal $arity:expr;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Operator { $($variant),* }

        impl Operator {
            #[cfg(test)]
            pub const ALL: &'static [Operator] = &[$(Operator::$variant),*];

            pub fn from_name(name: &str) -> Option<Operator> {
                Some(match name { $($name => Operator::$variant,)* _ => return None })
            }

            #[cfg(test)]
            pub const fn name(self) -> &'static str {
                match self { $(Operator::$variant => $name),* }
            }

            pub const fn arity(self) -> Arity {
                match self { $(Operator::$variant => $arity),* }
            }
        }
    };
}

operators! {
    Add "$add" at_least(2);
    Multiply "$multiply" at_least(2);
    Subtract "$subtract" exactly(2);
    Divide "$divide" exactly(2);
    Mod "$mod" exactly(2);
    Abs "$abs" exactly(1);
    Floor "$floor" exactly(1);
    Ceil "$ceil" exactly(1);
    Round "$round" between(1, 2);
    Eq "$eq" exactly(2);
    Neq "$neq" exactly(2);
    Gt "$gt" exactly(2);
    Gte "$gte" exactly(2);
    Lt "$lt" exactly(2);
    Lte "$lte" exactly(2);
    Between "$between" exactly(3);
    In "$in" exactly(2);
    And "$and" at_least(0);
    Or "$or" at_least(0);
    Not "$not" exactly(1);
    Cond "$cond" exactly(3);
    Concat "$concat" at_least(0);
    Upper "$upper" exactly(1);
    Lower "$lower" exactly(1);
    Length "$length" exactly(1);
    Trim "$trim" exactly(1);
    Substring "$substring" between(2, 3);
    Now "$now" exactly(1);
    Year "$year" exactly(1);
    Month "$month" exactly(1);
    Day "$day" exactly(1);
    DaysBetween "$daysBetween" exactly(2);
    DateAdd "$dateAdd" exactly(3);
    Literal "$literal" exactly(1);
    Sum "$sum" exactly(1);
    Avg "$avg" exactly(1);
    Min "$min" exactly(1);
    Max "$max" exactly(1);
    Count "$count" exactly(1);
}

impl Operator {
    /// The function over rows, of an aggregate.
    pub fn function(self) -> Option<Function> {
        Some(match self {
            Operator::Sum => Function::Sum,
            Operator::Avg => Function::Avg,
            Operator::Min => Function::Min,
            Operator::Max => Function::Max,
            Operator::Count => Function::Count,
            _ => return None,
        })
    }
}

/// An aggregate over the rows of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Sum,
    Avg,
    Min,
    Max,
    Count,
}

//! The operations of the data model that are not reads, sets or calls.
//! Owns: their codes and names. Must not know: how an interpreter performs them.

macro_rules! operations {
    ($($code:literal $variant:ident $name:literal)*) => {
        /// An operation that a step performs on the object at the end of a path. Code 18 is reserved.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Operation {
            $(
                #[doc = concat!("`", $name, "`, code ", $code)]
                $variant = $code,
            )*
        }

        impl Operation {
            /// Every operation, in order of its code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The operation with this code.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its name in the data model, without underscores.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

operations! {
    0 Len "len"
    1 Contains "contains"
    2 Iter "iter"
    3 Next "next"
    4 Str "str"
    5 Bool "bool"
    6 Eq "eq"
    7 Ne "ne"
    8 Lt "lt"
    9 Le "le"
    10 Gt "gt"
    11 Ge "ge"
    12 Enter "enter"
    13 Exit "exit"
    14 Aenter "aenter"
    15 Aexit "aexit"
    16 Hash "hash"
    17 Dir "dir"
    19 Neg "neg"
    20 Pos "pos"
    21 Abs "abs"
    22 Invert "invert"
    23 Add "add"
    24 Radd "radd"
    25 Sub "sub"
    26 Rsub "rsub"
    27 Mul "mul"
    28 Rmul "rmul"
    29 Matmul "matmul"
    30 Rmatmul "rmatmul"
    31 Truediv "truediv"
    32 Rtruediv "rtruediv"
    33 Floordiv "floordiv"
    34 Rfloordiv "rfloordiv"
    35 Mod "mod"
    36 Rmod "rmod"
    37 Divmod "divmod"
    38 Rdivmod "rdivmod"
    39 Pow "pow"
    40 Rpow "rpow"
    41 Lshift "lshift"
    42 Rlshift "rlshift"
    43 Rshift "rshift"
    44 Rrshift "rrshift"
    45 And "and"
    46 Rand "rand"
    47 Xor "xor"
    48 Rxor "rxor"
    49 Or "or"
    50 Ror "ror"
    51 Iadd "iadd"
    52 Isub "isub"
    53 Imul "imul"
    54 Imatmul "imatmul"
    55 Itruediv "itruediv"
    56 Ifloordiv "ifloordiv"
    57 Imod "imod"
    58 Ipow "ipow"
    59 Ilshift "ilshift"
    60 Irshift "irshift"
    61 Iand "iand"
    62 Ixor "ixor"
    63 Ior "ior"
    64 Int "int"
    65 Float "float"
    66 Complex "complex"
    67 Index "index"
    68 Round "round"
    69 Trunc "trunc"
    70 Floor "floor"
    71 Ceil "ceil"
    72 Bytes "bytes"
    73 Format "format"
    74 Reversed "reversed"
    75 LengthHint "length_hint"
    76 Send "send"
    77 Throw "throw"
    78 Close "close"
    79 Anext "anext"
    80 Asend "asend"
    81 Athrow "athrow"
    82 Aclose "aclose"
    83 Await "await"
    84 Aiter "aiter"
}

impl Operation {
    /// Its code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether it is a binary arithmetic operator: plain, reflected or in place.
    #[must_use]
    pub const fn is_arithmetic(self) -> bool {
        matches!(self.code(), 23..=63)
    }

    /// Whether the operand stands on the left: `radd` and its like.
    #[must_use]
    pub const fn is_reflected(self) -> bool {
        matches!(self.code(), 23..=50) && self.code().is_multiple_of(2)
    }

    /// Whether it is in place: `iadd` and its like.
    #[must_use]
    pub const fn is_in_place(self) -> bool {
        matches!(self.code(), 51..=63)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_by_its_code() {
        let mut found = 0;
        for code in 0..=u8::MAX {
            let Some(operation) = Operation::from_code(code) else { continue };
            found += 1;
            assert_eq!(operation.code(), code);
        }

        assert_eq!(found, Operation::ALL.len());
        assert_eq!(Operation::from_code(18), None);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Operation::ALL.iter().map(|operation| operation.name()).collect();
        names.sort_unstable();
        names.dedup();

        assert_eq!(names.len(), Operation::ALL.len());
    }

    #[test]
    fn reflected_operations_carry_the_name_of_their_plain_one() {
        for operation in Operation::ALL {
            let plain = operation
                .name()
                .strip_prefix('r')
                .and_then(|plain| Operation::ALL.iter().find(|other| other.name() == plain));
            assert_eq!(operation.is_reflected(), plain.is_some(), "{}", operation.name());
        }
    }

    #[test]
    fn in_place_operations_are_the_thirteen_of_the_language() {
        let count = Operation::ALL.iter().filter(|operation| operation.is_in_place()).count();

        assert_eq!(count, 13);
    }
}

//! Whose a frame is.

/// A state that holds frames: the live one of a volume, or a snapshot.
pub(super) type StateNumber = u32;

/// What is known of a frame's owners. Of all that is found out about one frame the join counts:
/// owners only ever become more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// One state.
    State(StateNumber),
    /// Several states of one family.
    Family(u32),
    /// Several families.
    Many,
}

/// Which family a state belongs to: a volume and its snapshots are one.
pub(super) struct Families(Vec<u32>);

impl Families {
    /// The family of each state.
    pub(super) fn new(of: Vec<u32>) -> Families {
        Families(of)
    }

    /// The family that has it alone.
    pub(super) fn of(&self, owner: Owner) -> Option<u32> {
        match owner {
            Owner::State(state) => self.0.get(state as usize).copied(),
            Owner::Family(family) => Some(family),
            Owner::Many => None,
        }
    }

    /// The owners of what both own.
    pub(super) fn join(&self, a: Owner, b: Owner) -> Owner {
        match (self.of(a), self.of(b)) {
            _ if a == b => a,
            (Some(a), Some(b)) if a == b => Owner::Family(a),
            _ => Owner::Many,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The join is commutative and associative, and never forgets an owner.
    #[test]
    fn owners_only_become_more() {
        let families = Families::new(vec![0, 0, 1]);
        let all = [
            Owner::State(0),
            Owner::State(1),
            Owner::State(2),
            Owner::Family(0),
            Owner::Family(1),
            Owner::Many,
        ];
        for a in all {
            assert_eq!(families.join(a, a), a);
            assert_eq!(families.join(a, Owner::Many), Owner::Many);
            for b in all {
                let both = families.join(a, b);
                assert_eq!(both, families.join(b, a));
                assert_eq!(families.join(both, a), both);
                for c in all {
                    let left = families.join(both, c);
                    assert_eq!(left, families.join(a, families.join(b, c)));
                }
            }
        }
        let join = |a, b| families.join(Owner::State(a), Owner::State(b));
        assert_eq!(join(0, 1), Owner::Family(0));
        assert_eq!(join(1, 2), Owner::Many);
    }
}

//! Where a change stands: a number made of the place of its commit in the server's log.
//!
//! A *unit* is 32 bytes of the log, and a transaction's unit is the one in which its commit record begins. Such a record has 40 bytes or more,
//! so two transactions never share a unit, and units rise in the order in which transactions are read. Row `i` of a transaction is at
//! `(unit << 16) + i`, and the position after it is `(unit + 1) << 16`.
//!
//! **At a cut** (a position where an epoch may end) the lower 16 bits are zero, and all transactions whose commit begins before
//! [`Positions::log`] of it are done, no other. So a cut is a function of the log alone, and who begins there numbers what follows alike:
//! the server, asked from that place on, leaves out just those transactions, and the first one that it sends has a unit that is not less.
//!
//! **A transaction of more than 65,536 rows** runs on into the units behind its own, which may be those of other transactions. Positions have
//! *drifted* then: the next transaction begins where it ended, and there is no cut until the log itself has come so far (by a transaction
//! whose own unit is there, or by word of the server that nothing is in between). From the same cut the same transactions drift alike;
//! where the word of the server came in between changes no position: it only tells of a cut where the drift is over anyhow.
//!
//! Does not know where the log ends. A log of 2^52 bytes (4 PB) is the most that fits.

/// Bytes of the log that are a unit, as a shift.
const UNIT: u32 = 5;
/// Rows that a unit has place for, as a shift.
const ROWS: u32 = 16;

/// What comes next of a log that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// Of the next row.
    next: i64,
    /// The newest cut.
    cut: i64,
    /// The unit of the transaction that is open.
    open: Option<i64>,
}

impl Positions {
    /// From a cut on.
    pub const fn from(cut: i64) -> Self {
        Self {
            next: cut,
            cut,
            open: None,
        }
    }

    /// The place in the log before which everything is done at a cut.
    pub const fn log(cut: i64) -> u64 {
        ((cut >> ROWS) << UNIT).cast_unsigned()
    }

    /// The cut at which everything is done whose commit begins before a place of the log, rounded down.
    pub const fn cut_of(log: u64) -> i64 {
        ((log >> UNIT) << ROWS).cast_signed()
    }

    /// True if a number can be a cut.
    pub const fn is_cut(position: i64) -> bool {
        position >= 0 && position.trailing_zeros() >= ROWS
    }

    /// The position of the next row.
    pub const fn next(&self) -> i64 {
        self.next
    }

    /// The newest cut.
    pub const fn cut(&self) -> i64 {
        self.cut
    }

    /// True where no epoch may end.
    pub const fn is_within(&self) -> bool {
        self.next != self.cut
    }

    /// True if positions are ahead of the log, and no transaction is open.
    pub const fn has_drifted(&self) -> bool {
        self.open.is_none() && self.is_within()
    }

    /// A transaction begins whose commit record begins there. False if it is done.
    pub fn begin(&mut self, commit: u64) -> bool {
        let own = Self::cut_of(commit);
        if own < self.cut {
            return false;
        }
        self.reach(own);
        self.open = Some(own);
        true
    }

    /// The position of a row of the transaction that is open.
    pub const fn row(&mut self) -> i64 {
        let row = self.next;
        self.next += 1;
        row
    }

    /// The transaction that is open is whole.
    pub fn commit(&mut self) {
        if let Some(own) = self.open.take() {
            let behind = own + (1 << ROWS);
            if self.next <= behind {
                self.next = behind;
                self.cut = behind;
            }
        }
    }

    /// Everything whose commit begins before a place of the log was read.
    pub fn reach_log(&mut self, log: u64) {
        if self.open.is_none() {
            self.reach(Self::cut_of(log));
        }
    }

    fn reach(&mut self, cut: i64) {
        if cut >= self.next {
            self.next = cut;
            self.cut = cut;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Positions;

    /// A number that looks random, from a state.
    fn draw(state: &mut u64, below: u64) -> u64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (*state >> 33) % below
    }

    /// Commits: where their records begin, and how many rows they have.
    fn commits(state: &mut u64) -> Vec<(u64, usize)> {
        let mut log = 0x0150_0000;
        (0..60)
            .map(|_| {
                log += 40 + 8 * draw(state, 60);
                let rows = match draw(state, 40) {
                    0 => 65_536,
                    1 => 65_537 + draw(state, 200_000) as usize,
                    2..6 => 0,
                    _ => draw(state, 9) as usize,
                };
                (log, rows)
            })
            .collect()
    }

    /// Reads commits from a cut on, as the server sends them; now and then it tells how far it came. What the rows' positions are, by commit,
    /// and the cuts.
    fn read(commits: &[(u64, usize)], from: i64, state: &mut u64) -> (Vec<(usize, i64)>, Vec<i64>) {
        let mut positions = Positions::from(from);
        let (mut rows, mut cuts) = (Vec::new(), vec![from]);
        for (number, &(log, count)) in commits.iter().enumerate() {
            if log < Positions::log(from) {
                let mut skipped = positions.clone();
                assert!(!skipped.begin(log), "what is done is known");
                assert_eq!(skipped, positions);
                continue;
            }
            assert!(positions.begin(log));
            rows.extend((0..count).map(|_| (number, positions.row())));
            positions.reach_log(u64::MAX >> 12);
            positions.commit();
            if draw(state, 2) == 0 {
                positions.reach_log(log + 34);
            }
            if !positions.is_within() {
                cuts.push(positions.cut());
            }
        }
        (rows, cuts)
    }

    #[test]
    fn positions_rise_and_are_the_same_from_every_cut_on() {
        for seed in 0..12 {
            let mut state = seed;
            let commits = commits(&mut state);
            let (rows, cuts) = read(&commits, 0, &mut state);
            assert!(rows.is_sorted_by(|a, b| a.1 < b.1), "seed {seed}");
            for &cut in cuts.iter().step_by(5) {
                assert!(Positions::is_cut(cut), "seed {seed}: {cut}");
                let rest = rows.partition_point(|row| row.1 < cut);
                let done = rows[..rest].last().map(|row| row.0);
                assert!(rows[rest..].first().is_none_or(|row| Some(row.0) != done));
                let (again, _) = read(&commits, cut, &mut state);
                assert!(again == rows[rest..], "seed {seed}, from {cut}");
            }
        }
    }

    #[test]
    fn a_drift_is_over_when_the_log_has_come_so_far() {
        let mut positions = Positions::from(0);
        positions.begin(3_200);
        for _ in 0..200_000 {
            positions.row();
        }
        positions.commit();
        assert!(positions.has_drifted());
        let cut = positions.cut();
        positions.reach_log(3_260);
        assert_eq!((positions.cut(), positions.has_drifted()), (cut, true));
        assert!(positions.begin(3_240));
        positions.row();
        positions.commit();
        assert!(
            positions.has_drifted(),
            "another transaction within the drift"
        );
        positions.reach_log(3_400);
        assert!(!positions.has_drifted());
        assert_eq!(positions.cut(), Positions::cut_of(3_400));
        assert_eq!(Positions::log(positions.cut()), 3_392);
    }

    #[test]
    fn a_full_unit_is_cut_behind_itself_and_nothing_goes_back() {
        let mut positions = Positions::from(0);
        positions.begin(64);
        for _ in 0..65_536 {
            positions.row();
        }
        positions.commit();
        assert!(!positions.is_within());
        assert_eq!(positions.cut(), 3 << 16);
        positions.reach_log(64);
        assert_eq!(positions.cut(), 3 << 16);
        assert!(!Positions::is_cut(5) && !Positions::is_cut(-65_536));
        assert!(Positions::is_cut(0));
    }
}

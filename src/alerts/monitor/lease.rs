use super::NAME;
use super::store::{self, Holder};
use crate::clock::Millis;
use crate::events::{self, Tx};

/// How long whoever judges may be silent before another takes over.
const TERM: Millis = 5_000;

/// Which node judges.
///
/// The row is read in the transaction of the work, which every node's writer
/// takes in turn, so two that both believe to be the one cannot both commit:
/// whoever was stopped for a while and wakes finds another's token. Nobody has
/// to hold it while there is nothing to do.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    holder: String,
}

impl Default for Lease {
    fn default() -> Lease {
        Lease { holder: format!("{:016x}", rand::random::<u64>()) }
    }
}

/// The right to judge in this transaction.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    row: Holder,
    /// Of the event after the checkpoint, rules up to this one have been looked at.
    pub within: i64,
    renewed: bool,
}

impl Lease {
    /// The turn, if it is nobody else's.
    pub(super) fn take(&self, tx: &mut Tx<'_>) -> events::Result<Option<Turn>> {
        let now = tx.now();
        let row = match store::holder(tx.read(), NAME)? {
            None => Holder { holder: String::new(), token: 0, until: now, within_rule: 0 },
            Some(row) => row,
        };
        let mine = row.holder == self.holder;
        // A clock that was set back leaves a term that would not end.
        let over = row.until <= now || row.until > now + 2 * TERM;
        if !mine && !over {
            return Ok(None);
        }
        let renewed = !mine || row.until - now < TERM / 2 || over;
        let within = row.within_rule;
        let row = Holder {
            holder: self.holder.clone(),
            token: row.token + i64::from(!mine),
            until: if renewed { now + TERM } else { row.until },
            within_rule: within,
        };
        Ok(Some(Turn { row, within, renewed }))
    }
}

impl Turn {
    /// Keeps what has to be kept of it.
    pub(super) fn keep(self, tx: &mut Tx<'_>) -> events::Result<()> {
        if self.renewed || self.within != self.row.within_rule {
            let row = Holder { within_rule: self.within, ..self.row };
            store::hold(tx.write(), NAME, &row)?;
        }
        Ok(())
    }
}

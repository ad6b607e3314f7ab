//! Our tables as a whole: made, replaced by another version, deleted; never somebody else's.

use gantry_sdk::{Error, ErrorCode, Result};
use gantry_sys::netlink::Socket;
use gantry_sys::nft::{Table, Transaction, table_comment};

use crate::error::kernel;
use crate::names::Names;

/// Sees to it that one of our tables is there in this version; `fixed` writes what is always in it.
/// True when it had to be made.
///
/// # Errors
/// `FailedPrecondition` when a table of that name belongs to somebody else.
pub(crate) fn ensure_table(
    socket: &mut Socket,
    names: &Names,
    table: Table<'_>,
    version: &str,
    fixed: impl FnOnce(&mut Transaction, Table<'_>),
) -> Result<bool> {
    let wanted = format!("{} {version}", names.own_mark());
    let mut transaction = Transaction::new();
    match table_comment(socket, table).map_err(kernel)? {
        Some(mark) if mark == wanted => return Ok(false),
        // Of another version of this driver: its elements are put back by difference.
        Some(mark) if names.is_own(&mark) => transaction.delete_table(table),
        Some(mark) => {
            let what = format!(
                "nf_tables table {table} belongs to another gantryd of this instance name (its \
                 mark is {mark:?}): give this one another name, or remove that one's table"
            );
            return Err(Error::new(ErrorCode::FailedPrecondition, what));
        }
        None => {}
    }
    transaction.add_table(table, &wanted);
    fixed(&mut transaction, table);
    transaction.commit(socket).map_err(kernel)?;
    Ok(true)
}

/// Deletes one of our tables, if it is there and ours.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn drop_table(socket: &mut Socket, names: &Names, table: Table<'_>) -> Result<()> {
    let mark = table_comment(socket, table).map_err(kernel)?;
    if !mark.is_some_and(|mark| names.is_own(&mark)) {
        return Ok(());
    }
    let mut transaction = Transaction::new();
    transaction.delete_table(table);
    transaction.commit(socket).map_err(kernel)
}

//! Opens the file and brings its schema up to date before anybody reads a record.

use std::path::Path;

use gantry_model::{Error, ErrorKind, Result};
use redb::{
    Database, Durability, ReadableDatabase, TableDefinition, TableHandle, WriteTransaction,
};

use crate::error::failed;
use crate::file::{Allocate, Reserving};
use crate::migrations::MIGRATIONS;

/// Opens the same database again.
pub(crate) type Opener = Box<dyn Fn() -> Result<Database> + Send>;

/// The newest schema: that of the last migration.
pub(crate) const SCHEMA: u64 = MIGRATIONS.len() as u64;

/// The oldest schema whose code can still read a database of [`SCHEMA`]. Schema 0 never left the house, and its code
/// reads bare JSON only.
pub(crate) const READABLE_BY: u64 = 1;

/// The numbers of the database itself, beside the tables for records.
pub(crate) const NUMBERS: TableDefinition<'static, &'static str, u64> =
    TableDefinition::new("gantry_store");

/// redb keeps up to 1 GiB by default; the daemon holds all records in memory itself and reads each once.
const CACHE_BYTES: usize = 2 << 20;

/// Opens or makes the file. A file that was damaged from outside is told, never believed: every page is read once and
/// checked against its checksum.
pub(crate) fn file(path: &Path, allocate: Option<Allocate>) -> Result<Database> {
    let backend = Reserving::open(path, allocate)?;
    Database::builder()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(|e| failed("open the database", e))
}

/// Names the file and what its owner can do.
pub(crate) fn explain(error: Error, path: &Path) -> Error {
    let what = error.message;
    let file = path.display();
    let message = match error.kind {
        ErrorKind::ResourceExhausted => format!(
            "{what}: the file system of {file} is full, nothing was recorded; free space on it, Gantry then goes on by \
             itself"
        ),
        ErrorKind::DataLoss => format!(
            "{what}: the file {file} is damaged; put a copy of it back, or move it away to start without records \
             (containers that run are ended then, images have to be fetched again, volumes stay on disk)"
        ),
        ErrorKind::Conflict => format!("{what}: another process has {file} open"),
        _ => format!("{what} ({file})"),
    };
    Error::new(error.kind, message)
}

/// Checks the schema and runs the migrations that are missing, all in one transaction.
pub(crate) fn prepare(database: &Database) -> Result<()> {
    let (found, readable_by) = numbers(database)?;
    if found == SCHEMA {
        return Ok(());
    }
    if found > SCHEMA {
        return if readable_by <= SCHEMA {
            // Left as it is: the newer program finds its own number again when it comes back.
            Ok(())
        } else {
            Err(Error::failed_precondition(format!(
                "the database has schema {found}, which needs a program of schema {readable_by} or newer; this one \
                 knows schema {SCHEMA}"
            )))
        };
    }
    let from = usize::try_from(found).unwrap_or(usize::MAX);
    let doing = format!("migrate the database from schema {found} to {SCHEMA}");
    let transaction = database.begin_write().map_err(|e| failed(&doing, e))?;
    for migration in MIGRATIONS.iter().skip(from) {
        (migration.run)(&transaction)
            .map_err(|e| e.context(format!("{doing}: {}", migration.name)))?;
    }
    write_numbers(&transaction).map_err(|e| e.context(&doing))?;
    transaction.commit().map_err(|e| failed(&doing, e))
}

/// A transaction whose commit is on disk when it returns.
pub(crate) fn begin(database: &Database) -> Result<WriteTransaction> {
    let mut transaction = database
        .begin_write()
        .map_err(|e| failed("begin a transaction", e))?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(|e| Error::internal(format!("begin a transaction: {e}")))?;
    Ok(transaction)
}

/// Schema of the database and who can read it. An empty one has schema 0, like one from before the numbers.
fn numbers(database: &Database) -> Result<(u64, u64)> {
    let doing = "read the database's schema";
    let transaction = database.begin_read().map_err(|e| failed(doing, e))?;
    let table = match transaction.open_table(NUMBERS) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok((0, 0)),
        Err(e) => return Err(failed(doing, e)),
    };
    let number = |name: &str| -> Result<Option<u64>> {
        Ok(table
            .get(name)
            .map_err(|e| failed(doing, e))?
            .map(|n| n.value()))
    };
    let schema = number("schema")?
        .ok_or_else(|| Error::data_loss("the database has no schema number in its own table"))?;
    Ok((schema, number("readable_by")?.unwrap_or(schema)))
}

fn write_numbers(transaction: &WriteTransaction) -> Result<()> {
    let doing = "write the database's schema";
    let mut table = transaction
        .open_table(NUMBERS)
        .map_err(|e| failed(doing, e))?;
    for (name, value) in [("schema", SCHEMA), ("readable_by", READABLE_BY)] {
        table.insert(name, value).map_err(|e| failed(doing, e))?;
    }
    Ok(())
}

/// Names of the tables that exist, without the database's own.
pub(crate) fn tables(transaction: &WriteTransaction) -> Result<Vec<String>> {
    Ok(transaction
        .list_tables()
        .map_err(|e| failed("list the database's tables", e))?
        .map(|handle| handle.name().to_owned())
        .filter(|name| name != NUMBERS.name())
        .collect())
}

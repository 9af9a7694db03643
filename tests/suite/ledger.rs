//! The ledger's databases, at the door through which the gateway writes, and as an operator sees them.

mod archive; // what retention deletes, by way of the archive
mod batches; // results of batches, downloaded more than once
pub mod book; // a database of either engine, and rows
mod clock; // retention by a clock that is wrong
mod contract; // the same of both engines
mod damage; // journals that are damaged
mod dashboard; // what the admin listener shows of it
pub mod full_disk; // a journal whose disk is full, and then is not
mod kills; // gateways killed at any moment, and databases that are not there
mod pgbouncer; // a PgBouncer in transaction mode before it
mod postgres_again; // rows that it has already, and corrections
mod postgres_down; // stopped, frozen, killed, full, read-only, absent
mod postgres_gateway; // the whole gateway before one that comes and goes
mod postgres_many; // ten gateways at once
mod postgres_page; // every statement of docs/ledger.md, and of the page that it corrects
mod postgres_partitions; // months, retention, archive
mod private; // modes of files
mod providers; // what providers say of usage and of errors, as the rows have it
mod refusals; // errors that the gateway answers with
mod refused; // rows that the database refuses, one or all
mod released; // databases and journals of earlier releases
mod reloads; // configurations that are refused, and new ones
mod replay; // what past calls would have cost
mod rollups; // sums beside the rows
mod schema; // what is declared, and what the databases have
mod usage; // the commands

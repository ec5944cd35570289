//! MariaDB 10.11: InnoDB with O_DIRECT and doublewrite, log and binary log synced at each commit.

mod compression;
mod copies;
mod crashes;
mod snapshots;
mod temporary;

//! Every way of reading, writing and allocating that databases and their tools use.

mod advice;
mod allocate;
mod append;
mod clients;
mod copy;
mod differences;
mod durable;
mod exercise;
mod files;
mod flags;
mod fsx;
mod mapping;
mod mixed;
mod pipes;
mod seek;
mod sizes;
mod truncate;

//! Bad days, each by its name: what the pool must come through, or say clearly.

mod clock;
mod disk_full;
mod flipped_bits;
mod index;
mod power_loss;
mod strangers;

//! The stages of a job alone, in this process: what each costs per record.

//! Cells, mutators, barrier, handshakes, proof and reclaim: a heap whose collector is somebody else.

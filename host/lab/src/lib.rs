//! Workloads: git repositories, plain graphs and synthetic churn, driven through real mutators.

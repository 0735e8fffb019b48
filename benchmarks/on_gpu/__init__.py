"""What `benchmarks/gpu.sh` runs on a GPU, part by part. Not yet run on one."""

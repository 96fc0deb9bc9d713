from runs.threads import let_threads_sleep

let_threads_sleep()  # before anything here loads PyTorch

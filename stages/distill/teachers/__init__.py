"""One file per teacher: a model, too large for a device, whose answers a student learns from.

A teacher holds
    Config : frozen dataclass
    learn(config, material, folder, seed, threads) -> TeacherOutputs
        Learn from `material.train` alone and answer for both sides; `TeacherOutputs` and `TeacherInputs` are of
        `stages.distill.material`. What is heavy is imported inside. `seed` and `threads` are given by name.

One that depends on more than its options and the clips has
  identity(config): the digests of files and versions of packages that shape its answers, as of JSON

`folder` outlives a kill: the same call with the same folder goes on where it stopped, by whatever was written there
(each file by `files.atomic`). What lies in `folder/output` at the end becomes part of `data/teacher`: a fine-tuned
checkpoint, say; the rest is removed. All of it must depend on the arguments alone: no times, no absolute paths.

Options that do not fit together, a missing file and labels that are not the task's (`TeacherInputs.require_labels`) are
one clear sentence each, before any work.
"""

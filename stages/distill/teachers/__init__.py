"""One file per teacher: a model, too large for a device, that students are distilled from.

A teacher holds
    Config : frozen dataclass
    learn(config, material, folder, seed, threads) -> TeacherOutputs
        Train on `material.train` alone and predict both sides; `TeacherOutputs` and `TeacherInputs` are those of
        `stages.distill.material`. Heavy packages are imported on first use (`stages.core.project.lazy`). `seed` and
        `threads` are given by name.

A teacher that depends on more than its options and the clips has
  identity(config): digests of files and versions of packages that its predictions depend on, as JSON values

`folder` outlives a kill: the same call with the same folder resumes from the files written there (each by
`files.atomic`). The content of `folder/output`, such as a fine-tuned checkpoint, becomes part of `data/teacher`; the
rest is removed. All of it must depend on the arguments alone: no times, no absolute paths.

Options that do not fit together, a missing file and labels that are not the task's (`TeacherInputs.require_labels`) are
one clear sentence each, before any work.
"""

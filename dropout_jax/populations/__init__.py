"""Conditions × seeds trained by one program, on all devices, within memory.

Public are `population`, `members`, `moment`, `devices` and `checkpoints`.

`population` has `fit_population`, which trains waves of members, epoch by epoch. `members` crosses
conditions with seeds, and gives each member its key. `blocks` trains a wave, a block of members on
each of the `devices`, of a size that `memory` allows. A callback is told a `moment`. `checkpoints`
saves a training to a folder, `resuming` goes on with it, and `store` holds what is trained. With
`processes`, several processes train one population.
"""

"""A deep model of the label, trained by Horovod on the cluster; the only folder that imports torch.

Nothing here imports torch or Horovod on import but `models`, `train` and `score`'s workers, so that jobs load without
the extra `deep`.
"""

import { nn } from '../../lib/index.js'

/** The networks of the task, as Sequential; torch_step.py builds the same ones. */
export const networks = {
  TinyCNN: () =>
    new nn.Sequential(
      new nn.Conv2d(1, 8, 3),
      new nn.ReLU(),
      new nn.Conv2d(8, 16, 3, { stride: 2 }),
      new nn.ReLU(),
      new nn.Conv2d(16, 32, 2),
      new nn.ReLU(),
      new nn.Flatten(),
      new nn.Linear(32, 10),
    ),
  MLP: () => new nn.Sequential(new nn.Linear(784, 1024), new nn.ReLU(), new nn.Linear(1024, 1024), new nn.ReLU(), new nn.Linear(1024, 10)),
  LeNet: () =>
    new nn.Sequential(
      new nn.Conv2d(1, 6, 5, { padding: 2 }),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Conv2d(6, 16, 5),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Flatten(),
      new nn.Linear(400, 120),
      new nn.ReLU(),
      new nn.Linear(120, 84),
      new nn.ReLU(),
      new nn.Linear(84, 10),
    ),
} satisfies Record<string, () => nn.Sequential>

/** The shape of a sample. */
export const inputShapes = { TinyCNN: [1, 8, 8], MLP: [784], LeNet: [1, 28, 28] } as const

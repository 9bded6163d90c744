import * as nn from '../../lib/nn/index.js'
import { l1Unstructured } from '../../lib/prune/index.js'
import { manualSeed } from '../../lib/tensor/index.js'
import { networkMatch } from '../support/network.js'
import type { Match } from '../support/task.js'

const sparsity = 0.9

const networks: Record<string, { input: readonly number[]; model: () => nn.Module }> = {
  lenet: {
    input: [1, 28, 28],
    model: () =>
      new nn.Sequential(
        ...[new nn.Conv2d(1, 6, 5, { padding: 2 }), new nn.ReLU(), new nn.MaxPool2d(2), new nn.Conv2d(6, 16, 5), new nn.ReLU(), new nn.MaxPool2d(2)],
        ...[new nn.Flatten(), new nn.Linear(400, 120), new nn.ReLU(), new nn.Linear(120, 84), new nn.ReLU(), new nn.Linear(84, 10)],
      ),
  },
  'mlp 784-1024-1024-10': {
    input: [784],
    model: () => new nn.Sequential(new nn.Linear(784, 1024), new nn.ReLU(), new nn.Linear(1024, 1024), new nn.ReLU(), new nn.Linear(1024, 10)),
  },
}

/** Pruned networks, one call of a compiled program, against the same networks dense. */
export default function* infer(): Iterable<Match> {
  for (const [name, { input, model }] of Object.entries(networks))
    for (const batch of [1, 64]) {
      manualSeed(1)
      const pruned = model()
      for (const module of pruned.modules()) if (module instanceof nn.Conv2d || module instanceof nn.Linear) l1Unstructured(module, 'weight', sparsity)
      yield networkMatch(`${name} B=${batch} s=${sparsity.toFixed(2)}`, pruned, input, batch)
    }
}

// What layers give to each other within a Sequential is used again after the backward pass: nobody must notice.
import test from 'ava'
import { traced } from '../../lib/autograd/index.js'
import { nn, ops, optim, type Tensor, tensor } from '../../lib/index.js'

const values = (size: number, from: number): Float32Array => Float32Array.from({ length: size }, (_, i) => Math.sin(from + 1.7 * i))

// Results of more than 4 KiB, which are those that are used again; a Flatten and a Dropout that share theirs.
const network = (): nn.Sequential =>
  new nn.Sequential(
    new nn.Conv2d(1, 8, 3),
    new nn.ReLU(),
    new nn.Dropout(0),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(72, 256),
    new nn.Tanh(),
    new nn.Linear(256, 256),
    new nn.ReLU(),
    new nn.Linear(256, 10),
  )
const batch = (step: number): [Tensor, Tensor] => [
  tensor(values(32 * 64, step), [32, 1, 8, 8]),
  tensor(Int32Array.from({ length: 32 }, (_, i) => (i * 7 + step) % 10)),
]

/** The losses and, at the end, the parameters of a few steps. */
function trained(model: nn.Module, forward: (x: Tensor) => Tensor): Float32Array[] {
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 })
  const losses = Array.from({ length: 6 }, (_, i) => {
    const [x, y] = batch(i)
    const loss = ops.crossEntropy(forward(x), y)
    optimizer.zeroGrad()
    loss.backward()
    optimizer.step()
    return loss.item()
  })
  return [Float32Array.from(losses), ...model.parameters().map((one) => one.data as Float32Array)]
}

test('a step through a Sequential has the bits of its layers one by one', (t) => {
  const model = network()
  const byHand = model.clone()
  const expected = trained(byHand, (x) => {
    for (const layer of byHand) x = layer.forward(x)
    return x
  })
  t.deepEqual(
    trained(model, (x) => model.forward(x)),
    expected,
  )
})

test('two passes before one backward, and a tape walked twice', (t) => {
  const gradients = (model: nn.Sequential, forward: (x: Tensor) => Tensor): unknown => {
    for (let step = 0; step < 3; step++) {
      const [[a, y], [b, z]] = [batch(step), batch(step + 5)]
      const loss = ops.crossEntropy(forward(a), y).add(ops.crossEntropy(forward(b), z))
      loss.backward(undefined, { retainGraph: true })
      loss.backward()
    }
    return model.parameters().map((one) => one.grad?.data)
  }
  const model = network()
  const byHand = model.clone()
  t.deepEqual(
    gradients(model, (x) => model.forward(x)),
    gradients(byHand, (x) => [...byHand].reduce((sofar, layer) => layer.forward(sofar), x)),
  )
})

class Keeping extends nn.ReLU {
  readonly kept: Tensor[] = []
  override forward(x: Tensor): Tensor {
    const y = super.forward(x)
    this.kept.push(x, y)
    return y
  }
}

test('what a hook or a layer of one’s own keeps stays what it was', (t) => {
  const model = network()
  const kept: Tensor[] = []
  model.at(0)?.registerForwardHook((_, __, y) => void kept.push(y))
  model.at(7)?.registerForwardPreHook((_, [x]) => void kept.push(x))
  const keeping = new Keeping()
  const chain = new nn.Sequential(new nn.Linear(64, 256), keeping, new nn.Linear(256, 10))
  const copies = new Map<Tensor, unknown>()
  for (let step = 0; step < 3; step++) {
    const [x, y] = batch(step)
    const loss = ops.crossEntropy(model.forward(x), y).add(ops.crossEntropy(chain.forward(x.reshape([32, 64])), y))
    for (const one of [...kept, ...keeping.kept]) if (!copies.has(one)) copies.set(one, one.data.slice())
    loss.backward()
  }
  t.is(copies.size, 3 * 4)
  for (const [one, copy] of copies) t.deepEqual(one.data, copy)
})

test('nothing of a trace is used again', (t) => {
  const chain = new nn.Sequential(new nn.Linear(64, 256), new nn.ReLU(), new nn.Linear(256, 10))
  const seen: Tensor[] = []
  const loss = traced(
    (_, __, output) => seen.push(output),
    () => ops.sum(chain.forward(tensor(values(32 * 64, 1), [32, 64]))),
  )
  const copies = seen.map((one) => one.data.slice())
  loss.backward()
  chain.forward(tensor(values(32 * 64, 2), [32, 64]))
  t.deepEqual(
    seen.map((one) => one.data),
    copies,
  )
})

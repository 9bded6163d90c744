import test from 'ava'
import { nn, ops, optim, randn } from '../../lib/index.js'

// zeroGrad hands the storage of gradients that nobody has looked at to the next backward walk.
test('a gradient that was read stays as it was, whatever is computed after zeroGrad', (t) => {
  const layer = new nn.Linear(200, 100)
  const optimizer = new optim.SGD(layer.parameters(), { lr: 0.1 })
  const step = (): void => {
    optimizer.zeroGrad()
    ops.sum(ops.square(layer.forward(randn([8, 200])))).backward()
    optimizer.step()
  }
  step()
  step()
  const held = layer.weight.grad
  const values = held?.copy()
  for (let i = 0; i < 5; i++) step()
  t.not(layer.weight.grad, held)
  t.deepEqual(held?.data, values?.data)
})

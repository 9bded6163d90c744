import test from 'ava'
import { operations } from '../../lib/autograd/index.js'
import '../../lib/index.js'
import { checkGradients } from '../support/gradcheck.js'

for (const [name, op] of operations) {
  if (op.spec.backward === undefined || op.spec.estimator) continue
  test(`${name}: gradients agree with central differences`, (t) => {
    const results = [...checkGradients(op as never)]
    t.true(results.length >= 20, `${name} has ${results.length} cases, at least 20 are wanted`)
    for (const { index, error } of results) t.true(error <= 1e-7, `case ${index}: relative error ${error}`)
  })
}

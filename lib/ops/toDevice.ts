import { asTensor, defineOp } from '../autograd/index.js'
import { type Device, describe, deviceNamed, ensure } from '../native/index.js'
import { converted, type DType, isDType, Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { cast } from './cast.js'

const moved = (x: Tensor, device: Device): Tensor => (x.device === device ? x.alias() : new Tensor(converted(x.storage, x.dtype, device), x.shape, x.dtype))

/** The same values on another device. Where x is there already it comes back sharing its storage. The gradient goes the way back. */
export const toDevice = defineOp({
  name: 'to_device',
  forward: (x: Tensor, device: Device) => moved(asTensor('toDevice', 'x', x), deviceNamed('toDevice', device)),
  backward: (grad, { args: [x] }) => [moved(grad, x.device)],
  cases: (sample) => elementwiseShapes.map((shape): [Tensor, Device] => [sample(shape), 'cpu']),
})

/** The same values in another dtype (`cast`) or on another device (`toDevice`). */
export function to(x: Tensor, target: DType | Device): Tensor {
  if (isDType(target)) return cast(x, target)
  ensure(/^(cpu|cuda)/.test(String(target)), 'INVALID_ARGUMENT', () => `to: the target is ${describe(target)}, expected a dtype or a device`)
  return toDevice(x, target)
}

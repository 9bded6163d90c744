// A mask of zeros and ones as it was in an earlier pass, held where the mask lies: to see whether it changed, none of it
// leaves a GPU.
import { allocateOn, Binary, castOnDevice, DeviceArray, native, nativeOnGpu, type Storage } from '../native/index.js'
import { converted } from '../tensor/index.js'

/** A byte an entry. */
export type MaskCopy = Uint8Array | DeviceArray

export function copyOfMask(mask: Storage): MaskCopy {
  if (!(mask instanceof DeviceArray)) return Uint8Array.from(mask)
  const copy = converted(mask, 'uint8', mask.device) as DeviceArray
  copy.kept = true
  return copy
}

/** Whether a mask keeps what it did. On a GPU this waits for what was asked of it. */
export function keepsSame(mask: Storage, copy: MaskCopy): boolean {
  if (!(mask instanceof DeviceArray)) return native.keepsSame(mask, copy) === 1
  const difference = allocateOn(mask.device, 'float32', mask.length)
  castOnDevice(copy as DeviceArray, difference)
  native.binaryForward(Binary.sub, mask, difference, difference)
  const others = nativeOnGpu.sparseCount(difference)
  difference.dispose()
  return others === 0
}

import { EspalierError, type NativeArray } from '../native/index.js'
import { allocate, type DType, formatShape, Tensor } from '../tensor/index.js'

// Element types by their code, and how one is read: the format is big-endian.
const types = new Map<number, { dtype: DType; bytes: number; read(view: DataView, at: number): number }>([
  [0x08, { dtype: 'uint8', bytes: 1, read: (view, at) => view.getUint8(at) }],
  [0x09, { dtype: 'int8', bytes: 1, read: (view, at) => view.getInt8(at) }],
  [0x0b, { dtype: 'int16', bytes: 2, read: (view, at) => view.getInt16(at) }],
  [0x0c, { dtype: 'int32', bytes: 4, read: (view, at) => view.getInt32(at) }],
  [0x0d, { dtype: 'float32', bytes: 4, read: (view, at) => view.getFloat32(at) }],
  [0x0e, { dtype: 'float64', bytes: 8, read: (view, at) => view.getFloat64(at) }],
])

/**
 * Reads the bytes of a file in the IDX format (that of MNIST): two zeros, element type, number of
 * dimensions, the dimensions, the elements. Sizes are checked against the length before anything is
 * allocated.
 *
 * @throws EspalierError FORMAT, naming `source`, for anything but a whole file of the format
 */
export function parseIdx(bytes: Uint8Array, source = 'idx'): Tensor {
  const fault = (what: string): EspalierError => new EspalierError('FORMAT', `${source}: ${what}`)
  if (bytes.length < 4) throw fault(`${bytes.length} bytes are no IDX file`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const type = types.get(bytes[2])
  if (bytes[0] !== 0 || bytes[1] !== 0 || type === undefined) throw fault(`the file starts with 0x${view.getUint32(0).toString(16)}, not as an IDX file does`)
  const rank = bytes[3]
  const start = 4 + 4 * rank
  if (bytes.length < start) throw fault(`the file ends within its ${rank} dimensions`)
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i))
  // Sizes come from outside: their product may be huge, but must be what the file holds.
  const size = shape.reduce((product, dimension) => product * dimension, 1)
  const length = bytes.length - start
  if (size * type.bytes !== length) throw fault(`shape ${formatShape(shape)} needs ${size * type.bytes} bytes of ${type.dtype}, the file holds ${length}`)
  const data: NativeArray = allocate(type.dtype, size)
  if (type.bytes === 1) new Uint8Array(data.buffer, data.byteOffset, size).set(bytes.subarray(start))
  else for (let i = 0; i < size; i++) data[i] = type.read(view, start + i * type.bytes)
  return new Tensor(data, shape, type.dtype)
}

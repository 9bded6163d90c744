import { npm } from '../support/package.js'
import { type Contender, inProcessAsync } from '../support/task.js'

interface OrtTensor {
  data: Float32Array
}
interface Ort {
  Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => OrtTensor
  InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{ run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>> }>
  }
}

/** A session whose model is one MatMul; B is an input, or a constant that the session may pack. */
export async function onnxruntime(a: Float32Array, b: Float32Array, m: number, k: number, n: number, constant: boolean): Promise<Contender> {
  const { Tensor, InferenceSession } = npm<Ort>('onnxruntime-node', 'ONNXRUNTIME_NODE_INSTALL=skip')
  const threads = Number(process.env.ESPALIER_THREADS)
  const session = await InferenceSession.create(model(m, k, n, constant ? b : null), { intraOpNumThreads: threads, interOpNumThreads: 1 })
  const feeds: Record<string, OrtTensor> = { a: new Tensor('float32', a, [m, k]) }
  if (!constant) feeds.b = new Tensor('float32', b, [k, n])
  let c: Float32Array = new Float32Array(0)
  return inProcessAsync(
    async () => {
      c = (await session.run(feeds)).c.data
    },
    () => c,
  )
}

// The few protocol-buffer messages of an ONNX model, field numbers as in onnx.proto3.
const varint = (value: number): number[] => (value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))])
const number = (field: number, value: number): Uint8Array => Uint8Array.from([field * 8, ...varint(value)])
const bytes = (field: number, ...parts: (Uint8Array | string)[]): Uint8Array => {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
  return Buffer.concat([Uint8Array.from([field * 8 + 2, ...varint(body.length)]), body])
}
const float = 1

/** ValueInfoProto: name, type { tensor_type { elem_type, shape { dim { dim_value } } } }. */
const value = (name: string, dims: readonly number[]): Uint8Array[] => [
  bytes(1, name),
  bytes(2, bytes(1, number(1, float), bytes(2, ...dims.map((dim) => bytes(1, number(1, dim)))))),
]

function model(m: number, k: number, n: number, weights: Float32Array | null): Uint8Array {
  const node = bytes(1, bytes(1, 'a'), bytes(1, 'b'), bytes(2, 'c'), bytes(4, 'MatMul'))
  const b = weights
    ? bytes(5, number(1, k), number(1, n), number(2, float), bytes(8, 'b'), bytes(9, new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength)))
    : bytes(11, ...value('b', [k, n]))
  const graph = bytes(7, node, bytes(2, 'product'), b, bytes(11, ...value('a', [m, k])), bytes(12, ...value('c', [m, n])))
  return Buffer.concat([number(1, 8), graph, bytes(8, bytes(1, ''), number(2, 13))])
}

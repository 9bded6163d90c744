// Models for onnxruntime, made of the few protocol-buffer messages they need (field numbers as in onnx.proto3),
// and sessions that run them.
import type { Graph, Node, Value } from '../../lib/graph/index.js'
import { isMultiple } from '../../lib/graph/index.js'
import { hostValues } from '../../lib/tensor/index.js'
import { npm } from './package.js'
import { type Contender, inProcessAsync } from './task.js'

interface OrtTensor {
  data: Float32Array
}
export interface Ort {
  Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => OrtTensor
  InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{ run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>> }>
  }
}

/** onnxruntime-node, or `Missing`. */
export const onnxruntimeNode = (): Ort => npm<Ort>('onnxruntime-node', 'ONNXRUNTIME_NODE_INSTALL=skip')

/** A contender that runs a model on named inputs, with as many threads as ours has. */
export async function session(model: Uint8Array, inputs: Record<string, { data: Float32Array; dims: readonly number[] }>, output: string): Promise<Contender> {
  const { Tensor, InferenceSession } = onnxruntimeNode()
  const made = await InferenceSession.create(model, { intraOpNumThreads: Number(process.env.ESPALIER_THREADS), interOpNumThreads: 1 })
  const feeds = Object.fromEntries(Object.entries(inputs).map(([name, { data, dims }]) => [name, new Tensor('float32', data, dims)]))
  let result: Float32Array = new Float32Array(0)
  return inProcessAsync(
    async () => {
      result = (await made.run(feeds))[output].data
    },
    () => result,
  )
}

const varint = (value: number): number[] => (value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))])
const number = (field: number, value: number): Uint8Array => Uint8Array.from([...varint(field * 8), ...varint(value)])
const bytes = (field: number, ...parts: (Uint8Array | string)[]): Uint8Array => {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
  return Buffer.concat([Uint8Array.from([...varint(field * 8 + 2), ...varint(body.length)]), body])
}
const float = 1

/** ValueInfoProto: name, type { tensor_type { elem_type, shape { dim { dim_value } } } }. */
const value = (field: number, name: string, dims: readonly number[]): Uint8Array =>
  bytes(field, bytes(1, name), bytes(2, bytes(1, number(1, float), bytes(2, ...dims.map((dim) => bytes(1, number(1, dim)))))))

export const input = (name: string, dims: readonly number[]): Uint8Array => value(11, name, dims)
export const output = (name: string, dims: readonly number[]): Uint8Array => value(12, name, dims)

/** TensorProto, as a constant of the graph. */
export const constant = (name: string, dims: readonly number[], data: Float32Array): Uint8Array =>
  bytes(5, ...dims.map((dim) => number(1, dim)), number(2, float), bytes(8, name), bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)))

/** NodeProto; attributes are whole numbers or lists of them. */
export const node = (op: string, from: readonly string[], to: string, attributes: Record<string, number | readonly number[]> = {}): Uint8Array =>
  bytes(
    1,
    ...from.map((name) => bytes(1, name)),
    bytes(2, to),
    bytes(4, op),
    ...Object.entries(attributes).map(([name, of]) =>
      typeof of === 'number'
        ? bytes(5, bytes(1, name), number(3, of), number(20, 2))
        : bytes(5, bytes(1, name), ...of.map((item) => number(8, item)), number(20, 7)),
    ),
  )

/** ModelProto: ir_version, graph, opset_import. */
export const modelOf = (...parts: readonly Uint8Array[]): Uint8Array =>
  Buffer.concat([number(1, 8), bytes(7, ...parts, bytes(2, 'network')), bytes(8, bytes(1, ''), number(2, 13))])

const pair = (of: number | readonly number[]): readonly number[] => (typeof of === 'number' ? [of, of] : of)

/** A traced network of the layers that the benchmarks have, on a batch of so many samples. */
export function onnxOf(graph: Graph, batch: number): Uint8Array {
  const dims = ({ shape }: Value): number[] => shape.map((dimension) => (isMultiple(dimension) ? dimension.batch * batch : dimension))
  const constants = new Map<string, Uint8Array>()
  const name = (of: Value): string => {
    if (of.tensor === null) return of.name
    const called = of.sources[0]
    constants.set(called, constant(called, dims(of), Float32Array.from(hostValues(of.tensor.storage))))
    return called
  }
  const nodes = graph.nodes.map((of) => converted(of, name))
  return modelOf(...nodes, ...constants.values(), input('input', dims(graph.input)), output(graph.output.name, dims(graph.output)))
}

function converted({ op, args, output: { name: to } }: Node, name: (of: Value) => string): Uint8Array {
  const values = args.filter((argument): argument is Value => typeof argument === 'object' && argument !== null && 'kind' in argument)
  const options = (args.find((argument) => typeof argument === 'object' && argument !== null && !('kind' in argument)) ?? {}) as Record<
    string,
    number | number[]
  >
  const from = values.map(name)
  switch (op) {
    case 'linear':
      return node('Gemm', from, to, { transB: 1 })
    case 'relu':
      return node('Relu', from, to)
    case 'flatten':
      return node('Flatten', from, to, { axis: 1 })
    case 'conv2d': {
      const [top, left] = pair(options.padding ?? 0)
      return node('Conv', from, to, { strides: pair(options.stride ?? 1), pads: [top, left, top, left] })
    }
    case 'max_pool2d':
      return node('MaxPool', from, to, { kernel_shape: pair(options.kernelSize), strides: pair(options.stride ?? options.kernelSize) })
    default:
      throw new Error(`no ONNX node for ${op}`)
  }
}

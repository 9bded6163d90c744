import { constant, input, modelOf, node, output, session } from '../support/onnx.js'
import type { Contender } from '../support/task.js'

/** A session whose model is one MatMul; B is an input, or a constant that the session may pack. */
export function onnxruntime(a: Float32Array, b: Float32Array, m: number, k: number, n: number, isConstant: boolean): Promise<Contender> {
  const given = { a: { data: a, dims: [m, k] }, ...(isConstant ? {} : { b: { data: b, dims: [k, n] } }) }
  const second = isConstant ? constant('b', [k, n], b) : input('b', [k, n])
  return session(modelOf(node('MatMul', ['a', 'b'], 'c'), second, input('a', [m, k]), output('c', [m, n])), given, 'c')
}

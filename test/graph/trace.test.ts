import test from 'ava'
import { TinyCNN } from '../../examples/tinyCnn.js'
import { EspalierError, graph, manualSeed, nn, ops, prune, qnn, rand, type Tensor, tensor, zeros } from '../../lib/index.js'

/** A module of a forward pass alone. */
class Of extends nn.Module {
  fc = new nn.Linear(4, 4)
  constructor(readonly pass: (x: Tensor, fc: nn.Linear) => Tensor) {
    super()
  }
  override forward(x: Tensor): Tensor {
    return this.pass(x, this.fc)
  }
}

const operations = (traced: graph.Graph): string[] => traced.nodes.map(({ op }) => op)
const refusal = (pass: (x: Tensor, fc: nn.Linear) => Tensor, input = [4]): string => {
  try {
    graph.trace(new Of(pass), { input })
  } catch (error) {
    if (error instanceof EspalierError && error.code === 'STATE') return error.message
    throw error
  }
  return ''
}

test('a chain of layers reads as the forward pass was written', (t) => {
  t.is(
    String(graph.trace(new TinyCNN(), { input: [1, 8, 8] })),
    `input [n, 1, 8, 8]
%1 [n, 8, 6, 6] = conv2d(input, conv1.weight [8, 1, 3, 3], conv1.bias [8], { stride: 1, padding: 0, dilation: 1, groups: 1 })
%2 [n, 8, 6, 6] = relu(%1)
%3 [n, 16, 2, 2] = conv2d(%2, conv2.weight [16, 8, 3, 3], conv2.bias [16], { stride: 2, padding: 0, dilation: 1, groups: 1 })
%4 [n, 16, 2, 2] = relu(%3)
%5 [n, 32, 1, 1] = conv2d(%4, conv3.weight [32, 16, 2, 2], conv3.bias [32], { stride: 1, padding: 0, dilation: 1, groups: 1 })
%6 [n, 32, 1, 1] = relu(%5)
%7 [n, 32] = flatten(%6, 1)
%8 [n, 10] = linear(%7, fc.weight [10, 32], fc.bias [10])
output %8`,
  )
})

test('residuals and branches share values; what the output does not need is left out', (t) => {
  const traced = graph.trace(
    new Of((x, fc) => {
      const left = fc.forward(x)
      left.exp()
      return ops.concat([left.add(x), x.mul(2)], 1)
    }),
    { input: [4] },
  )
  t.deepEqual(operations(traced), ['linear', 'add', 'mul', 'concat'])
  t.is(traced.nodes[1].args[1], traced.input)
  t.deepEqual(traced.output.shape, [{ batch: 1 }, 8])
})

test('shapes and arguments made of the batch size are multiples of it', (t) => {
  const traced = graph.trace(new Of((x, fc) => fc.forward(x.reshape([x.shape[0] * 3, 4])).reshape([x.shape[0], -1])), { input: [3, 4] })
  t.deepEqual(traced.nodes[0].args[1], [{ batch: 3 }, 4])
  t.regex(String(traced), /%1 \[3n, 4\] = reshape\(input, \[3n, 4\]\)/)
  t.deepEqual(traced.output.shape, [{ batch: 1 }, 12])
})

test('masks and weight quantisers are done once, and named by their parameter', (t) => {
  const model = new nn.Sequential({ quantise: new qnn.QuantIdentity({ signed: false }), fc: new qnn.QuantLinear(4, 3) })
  prune.l1Unstructured(model.getModule('fc'), 'weight', 0.5)
  const traced = graph.trace(model, { input: [4] })
  t.deepEqual(operations(traced), ['fake_quant_by_threshold', 'linear'])
  const [codes, weight] = traced.nodes[1].args as graph.Value[]
  t.deepEqual([codes.quantisation?.min, codes.quantisation?.max], [0, 255])
  t.deepEqual([...weight.sources].sort(), ['fc.weight_mask', 'fc.weight_orig'])
  t.is(weight.quantisation?.min, -127)
})

test('the model is as it was: modes, statistics, and no gradients', (t) => {
  const model = new nn.Sequential(new nn.Linear(4, 4), new nn.BatchNorm1d(4), new nn.Dropout(0.5)).train()
  model.at(2)?.eval()
  const before = JSON.stringify(Object.values(model.stateDict()).map(({ data }) => [...data]))
  const seed = rand([1]).data[0]
  manualSeed(3)
  const expected = rand([2]).toArray()
  manualSeed(3)
  graph.trace(model, { input: [4] })
  t.deepEqual(rand([2]).toArray(), expected)
  t.true(seed < 1)
  t.deepEqual(
    Array.from(model.children(), ({ training }) => training),
    [true, true, false],
  )
  t.is(JSON.stringify(Object.values(model.stateDict()).map(({ data }) => [...data])), before)
  t.true(model.parameters().every(({ grad }) => grad === null))
})

test('detach and tensors of the model are followed', (t) => {
  const table = tensor([1, 2, 3, 4])
  const traced = graph.trace(new Of((x) => x.mul(table).detach().add(1)), { input: [4] })
  t.deepEqual(operations(traced), ['mul', 'add'])
  t.is((traced.nodes[0].args[1] as graph.Value).tensor, table)
  t.is(traced.nodes[1].args[0], traced.nodes[0].output)
})

test('what cannot be traced is an error that names it', (t) => {
  t.regex(
    refusal((x, fc) => (fc.forward(x).mean().item() > 0 ? x.relu() : x)),
    /reads the values of the result of mean, shape \[\]/,
  )
  t.regex(
    refusal((x) => tensor(x.relu().data as Float32Array).reshape(x.shape)),
    /reads the values of the result of relu/,
  )
  t.regex(
    refusal((x) => x.mul(ops.argmax(x, { dim: 1, keepdim: true }).to('float32'))),
    /argument 1 of cast is no result of a traced operation/,
  )
  t.regex(
    refusal((x) => x.add(rand([4]))),
    /argument 2 of add .* drawn at random/,
  )
  t.regex(
    refusal((x) => (x.shape[0] === 2 ? x.relu() : x.sigmoid())),
    /operation 1 is relu in one run, sigmoid in another/,
  )
  t.regex(
    refusal((x) => (x.shape[0] === 2 ? x.relu() : x.relu().exp())),
    /one run is longer/,
  )
  t.regex(
    refusal((x) => x.mul(Math.sqrt(x.shape[0]))),
    /argument 2 of mul is 1\.41\d* in one run and 1\.73\d* in another/,
  )
  t.regex(
    refusal((x) => ops.argmax(x.relu(), { dim: 1 })),
    /what forward returns is no result/,
  )
  t.regex(
    refusal(() => zeros([2])),
    /what forward returns is no result/,
  )
  t.regex(
    refusal(() => 3 as unknown as Tensor),
    /forward returned 3, expected one tensor/,
  )
})

test('the input is a shape', (t) => {
  for (const input of [undefined, 8, [1.5], ['x'], [-1]])
    t.throws(() => graph.trace(new TinyCNN(), { input: input as unknown as number[] }), { message: /^trace: input is/ })
})

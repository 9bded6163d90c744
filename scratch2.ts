import { ops, optim, tensor, randn, nn } from './lib/index.js'
import { QuantTinyCNN, TinyCNN } from './examples/tinyCnn.js'
const kind = process.argv[2] ?? 'f'
const model: nn.Module = kind === 'q' ? new QuantTinyCNN(4, undefined as never) : new TinyCNN(undefined as never)
const opt = new optim.Adam(model.parameters(), { lr: 1e-3 })
const x = randn([64, 1, 8, 8]), y = tensor(Int32Array.from({ length: 64 }, (_, i) => i % 10))
const step = () => { const loss = ops.crossEntropy(model.forward(x), y); opt.zeroGrad(); loss.backward(); opt.step() }
for (let i = 0; i < 2000; i++) step()
for (let r = 0; r < +(process.argv[3] ?? 4); r++) { const t = process.cpuUsage(); for (let i = 0; i < 1000; i++) step(); const u = process.cpuUsage(t); console.log((u.user/1000).toFixed(1), (u.system/1000).toFixed(1), "us/step", (process.memoryUsage().rss/1e6).toFixed(0)+"MB") }

import { ops, optim, tensor, randn, manualSeed } from './lib/index.js'
import { networks, inputShapes } from './bench/train-step/networks.js'
const kind = (process.argv[2] ?? 'MLP') as keyof typeof networks, B = Number(process.argv[3] ?? 64), n = Number(process.argv[4] ?? 50)
const model = networks[kind]()
const opt = new optim.SGD(model.parameters(), { lr: 1e-3, momentum: .9 })
const x = randn([B, ...inputShapes[kind]]), y = tensor(Int32Array.from({ length: B }, (_, i) => i % 10))
const T: Record<string, number> = {}
const timed = <R>(k: string, f: () => R): R => { const t = performance.now(); const r = f(); T[k] = (T[k] ?? 0) + performance.now() - t; return r }
const step = () => { const loss = timed('forward', () => ops.crossEntropy(model.forward(x), y)); opt.zeroGrad(); timed('backward', () => loss.backward()); timed('step', () => opt.step()) }
for (let i = 0; i < 20; i++) step()
for (let r = 0; r < 3; r++) { for (const k in T) T[k] = 0; const t = process.cpuUsage(), w = performance.now(); for (let i = 0; i < n; i++) step(); const u = process.cpuUsage(t); console.log('user', (u.user / 1000 / n).toFixed(2), 'sys', (u.system / 1000 / n).toFixed(2), 'wall', ((performance.now() - w) / n).toFixed(2), Object.entries(T).map(([k, v]) => k + ' ' + (v / n).toFixed(2)).join(' ')) }

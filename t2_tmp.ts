import { native } from './lib/native/index.js'
native.setThreads(1)
let s=7;const r=()=>{s=(Math.imul(s,1664525)+1013904223)>>>0;return s/4294967296}
for(const [R,K,N] of [[1024,16,64],[1008,16,64],[16,784,64],[16,1024,64],[16,1024,256],[1024,16,256]]) {
  const w=new Float32Array(R*K);for(let i=0;i<w.length;i++)w[i]=r()<.95?0:r()-.5
  const m=native.sparseCreate(R,K,w,null,0 as never)
  const x=Float32Array.from({length:K*N},()=>r()-.5),y=new Float32Array(R*N)
  const out=[]
  for(const byRow of [0,1]){let best=1e9;for(let i=0;i<2000;i++){const t=process.hrtime.bigint();native.spmm(m,0,N,byRow,x,null,0 as never,y);best=Math.min(best,Number(process.hrtime.bigint()-t)/1e6)};out.push(best.toFixed(4))}
  console.log(R,K,N,'cols/rows',...out)
}

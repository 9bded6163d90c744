import { native } from './lib/native/index.js'
native.setThreads(1)
let s=7;const r=()=>{s=(Math.imul(s,1664525)+1013904223)>>>0;return s/4294967296}
for(const [R,K,N] of [[256,256,256],[512,512,1024],[1024,784,256],[1024,784,64],[2048,2048,256]]) for(const sp of [.8,.9,.95]){
  const w=new Float32Array(R*K);for(let i=0;i<w.length;i++)w[i]=r()<sp?0:r()-.5
  const m=native.sparseCreate(R,K,w,null,0 as never)
  const x=Float32Array.from({length:K*N},()=>r()-.5),y=new Float32Array(R*N)
  const out=[]
  for(const byRow of [0,1]){let best=1e9;for(let i=0;i<300;i++){const t=process.hrtime.bigint();native.spmm(m,0,N,byRow,x,null,0 as never,y);best=Math.min(best,Number(process.hrtime.bigint()-t)/1e6)};out.push(best.toFixed(4))}
  {let best=1e9;const cnt=native.sparseCount(m);const v=new Float32Array(cnt);for(let i=0;i<200;i++){const t=process.hrtime.bigint();native.sddmm(m,N,1,y,x,v);best=Math.min(best,Number(process.hrtime.bigint()-t)/1e6)};out.push('sddmm '+best.toFixed(4))}
  console.log(R,K,N,sp,'cols/rows',...out,'ideal',(2*R*K*N*(1-sp)/117e6).toFixed(4))
}

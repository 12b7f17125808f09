// Generated from kernels/attention/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';
import { attentionWasm } from './attention.wasm.ts';

const base64 =
  '7ZzJUhxHEIbFIgsFAzQzDQzMAM2gxWaRWcQiB7r66idw+KSL8NE6W+G7fbD9HH4VP4afggh/f2ZVdw/UiGW4IE1MANVVNd3V1ZlZmZVfUzJnP17PnHnx' +
  'nqCzp1N64leZs8k+5uyrGnMWaTQ/elIxZ//9MDVizkbM2UNnzkZA0b0CRb9Nj0/9OofGSUM1Tw3+TP1iJpfcmPSvYdl9pqvHrtmsBVRtKmY9tlrGXo9H' +
  'QbNdx/EoTmw+imNRjKa782zxQ9FYqActMWaIntrR98VkeEKGKriydgN6tIoq/DWOznpFRsO8KuaFYbhyrRH9NlXXZA3uohoUW2ou1VQ9clVrle6iIRQX' +
  'rEdUUPVYVPWi9VhSsVTPGlyEQWevcRIXQ2bEC9gOLygRagUMhRewC17AJHgBC+AFn4mgFVOupxkA1D9uvFH9eCCNNcTIDADWo+zSigfWRcCQGQIMUdll' +
  'IR5YF+E/ZhDgFsouS/EAQyPT4OlydpzDpvBjF2AtDEFyp+uS2ygltxElt9EnuTq6Krlaax6e5CbFtvHliq0vVgPEll3668SWLteJLV3uJLafCZX259TE' +
  'xGUqLXNSRVSa4CEyJjz0wKG1BlFpbSSgpNKaxZzwFlFpJJGKuRtQaU0xGeZRXaXSFm5NpZmHZic1Km0VWVqtU2kcpKk05Kuk0ub7qTQSMeU9UksyhxGD' +
  'bipBxV8lqpTvsxxenUrTTNapNNtx17kDldZJUmnKqxmV1qlNROsSlTbbR6V1I5XmBVFpoQSVFkpGpdVPWc5tBb1VVJocJOJPHwvnD1SaZx6HotJy1Nqp' +
  'tKVi0QLb2uSE+2cijUqbBTmDu5olQgxUmkF9NnGen5TE+hP33OgweJqBN3fH0y4aH+lX/7ChAStd/0SArdftXPwh2qwx96j/w45Ro+hqM33m4l1vpo6j' +
  '2QETZ6f4Sab3CQ+Uh4O3ffE7MRdfCPxat8avTTvApnmswIPaI6mi6RG/NuLXRvzaiF8b8Wsjfm3Er434tRG/luLX/i3g16adX5svnaQlOUlNiwW6Gq/z' +
  'a6AW7GQ8t9/rCko2aHN+DcoFKs34tU3j19bMS3uG47CU4Nde6B2hl+ZjtSO/1qa+Ffm1do1fWyGGWTd+TVyKRiW3RzBLGJlHJZm9jLOS4tfmaYAk0f4w' +
  'V5AfVPFr64P4tepNCL6/grg4v/YcrkR+fosrtOxyoj2MX9M+RssGZfzaKgIX+LUzvP0Uv6TclpgZbRz4UPcZKlRbbqM7kPcuQOJ2rr++nN3xy8LOSBmO' +
  'Per/hDcJhYAcklJ8R58KTbOyo2nc9qKEy7Js9lbT/kXHfo0p+dxBDPiNB/1xjLcqA9fT+fn8GFkN81WcBY4NnofIvcaxkTsYyLHlsc/NQCWTD8WuFqg9' +
  'c06MjRzn2GZKoTUqURzbYZSwgRxbkk+7Ie8mSs4FyoDIA+Td5iJwbIvBdGWE6DWOzRk11USO7TXy4zWRY4NQCzWRYzuqT2wmAKzFBQ9jMNLipOEg40Dw' +
  'SeDYWpwqHOwxD4RLph2PFY1Ejq3KtvapCEEU5rfi2DohiPqmVFXzx9cCx5aV0U+W4tjw/s3wVNEP4YgeeyeIBzF5kSEA4l35QTy+vj3H5hSbZ4jFsVUi' +
  'QVG7JVCtxn1hrF2OUX8pP+8xKkGsrQG0+gO57zTn1tsueobCuuWyGej5Tgx8WXVjHil9ilDLzzd2xUCeb7xiDtnC5Ay5gXgu1Zu+rwO/tq3oaRlV49mm' +
  'CLVlD1d33vf2ir06obbVT6iF7ZbBhNoujNp2setx2c5g4uwVt8NPSahtX9N/x+KyA/ubMfBIqNnAgdA09IUYlx0wdB1YXMZdVNRJbpol7HN/KEJtkFGv' +
  'BpUk1OIgMdK3h8eO0k6lwXKXrmQ3X14E2Gp4Qg3zleCudPG000rLAKdV8EbaafWWlNPqLSmn1VtSTqu3pJxWPVmXaAfKUk4rs30X7sqBnCszdXInQu1h' +
  'zNQ1hJqBlYmZOvJl6ttAqGlChyHUpB33S6jlKNCgsBALEpQLSzA8oZYXeTosZKn/Ugk1M7HpsPDsbwlm0nJfJdTy4kxhYc2t37I0xxaL4tiHjW2s9gJW' +
  'e8Eh6U28Gi2ZM0TkAGH4gTt0yOnA/9wYmIpN+XapJSL1fkPKVzRTf6kuBUWbbl2qO2WkW/a/BfBUtO6/39g1R2PX4wzzJHtvSMFqKfyu9PAP3KPsga6F' +
  'OrzDgn4i0vr6HvJ4q1685OC9QuY21sv/rHodywSq14T3ehPqT4pTesWjUzkxCqjIiHILQQ1ZNfWyjtRTi5oc1CaV/EcC6g9D/Wur35EnhsdsTUeh6bhs' +
  'EvNjTSeh6dSacil9HnbYub7hd/0uql5J4Hvqx9c25F0Fr7WEFd2dazpcxVWWfaodVpTDfQlWzOQ9uUQOghVrHmLw77RLcMZGQHAQLc+UXwl8izLwdVjx' +
  'RR1WfCuXkXCr3Ed4W5wJVnz5CVixpj0tTZZHEW2DFdu2ofA/';

/** The compiled kernels of attention with relaxed dot products. */
export const attentionRelaxedWasm = (): Uint8Array<ArrayBuffer> => inflated(base64, attentionWasm());

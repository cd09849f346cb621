// What the page says, in both languages, and the signs it says it with.

export const WORDS = {
  zh: {
    live: '实时', polling: '长轮询', connecting: '连接中', reconnecting: '重连中', offline: '离线',
    other: 'English', all: '全部', everywhere: '全部市场', copied: '已复制', pressed: '请按复制键', none: '–', unpriced: '待报价', soldOut: '售罄',
    clearance: '清仓', first: '首次报价', arrived: '新到', ended: '清仓结束', until: '至', average: '均价', volume: '成交',
    shown: (n, all) => n === all ? `${all} 款` : `${n} / ${all} 款`, more: n => `再显示 ${n} 款`,
    trend: (from, to) => `从 ${from} 到 ${to}`, failed: why => `读不到茶品（${why}），稍后自动重试。`,
    about: s => `teawire ${s.version} · ${s.products} 款茶品 · ${Math.max(1, s.streams + s.polls)} 人在看`,
    due: '到期', cancelled: '已取消', sold_out: '售罄', withdrawn: '已下架', now: '刚刚',
    units: { jin: '斤', kg: '公斤', liang: '两', gram: '克', piece: '饼', tong: '提', case: '件', box: '盒' },
  },
  en: {
    live: 'Live', polling: 'Long-poll', connecting: 'Connecting', reconnecting: 'Reconnecting', offline: 'Offline',
    other: '中文', all: 'All', everywhere: 'All markets', copied: 'Copied', pressed: 'Press copy', none: '–', unpriced: 'no price yet', soldOut: 'sold out',
    clearance: 'Clearance', first: 'first price', arrived: 'New', ended: 'Clearance over', until: 'until', average: 'average', volume: 'volume',
    shown: (n, all) => n === all ? `${all} teas` : `${n} of ${all} teas`, more: n => `Show ${n} more`,
    trend: (from, to) => `from ${from} to ${to}`, failed: why => `The catalogue cannot be read (${why}). Trying again shortly.`,
    about: s => `teawire ${s.version} · ${s.products} teas · ${Math.max(1, s.streams + s.polls)} watching`,
    due: 'time is up', cancelled: 'cancelled', sold_out: 'sold out', withdrawn: 'withdrawn', now: 'now',
    units: { jin: 'jin', kg: 'kg', liang: 'liang', gram: 'g', piece: 'piece', tong: 'tong', case: 'case', box: 'box' },
  },
}
export const ICONS = {
  up: 'M8 13V3M3.5 7.5 8 3l4.5 4.5', down: 'M8 3v10M3.5 8.5 8 13l4.5-4.5', first: 'M3 8h10',
  'product.arrived': 'M8 3v10M3 8h10', 'clearance.started': 'M2.5 7.5v-5h5l6 6-5 5zM5.3 5.3v.01', 'clearance.ended': 'M3 8.5l3.5 3.5L13 4.5',
  'market.updated': 'M3 13V9M8 13V3M13 13V6.5', announcement: 'M2.5 6.5v3H5l5 3v-9l-5 3zM13 6.5v3',
}

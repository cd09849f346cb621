-- Teas that are called the same, whoever sells them: what a price is compared
-- with. Neither changes when a price does.
CREATE INDEX products_variety ON products (category, variety) WHERE variety IS NOT NULL;
CREATE INDEX products_recipe ON products (category, recipe) WHERE recipe IS NOT NULL;

DROP INDEX products_variety;
DROP INDEX products_recipe;
